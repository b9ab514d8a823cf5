"""What a run left, read as data of unknown origin: plain files of bounded size, that hold what a run writes. Free of torch.

Whatever is wrong with a file is one `Malformed`, so that a reader of many runs names it and goes on with the others.
"""

import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from bridgelab.printable import printable
from bridgelab.runs.finished import RECORD
from bridgelab.runs.older_names import with_current_keys

MOST = 2**26  # bytes of a record
MOST_OF_CONFIG = 2**20  # bytes of a config
DEEPEST = 64  # levels of a config
SHOWN = 60  # characters of a value in a message
FIX = "A run writes its files whole: delete the folder, and run its study again."

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, le=1e18)]
# 'lr=0.01,warmup=0.05', as `training.lr_search` names its trials
Trial = Annotated[str, Field(pattern=r"^lr=\d+(\.\d+)?(e[-+]\d+)?,warmup=\d+(\.\d+)?(e[-+]\d+)?$")]


Schema = TypeVar("Schema", bound=BaseModel)


class Malformed(ValueError):
    """A file that is not what a run writes; its message is one line and names the file."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class Checked(BaseModel):
    """Types are as given: no string is taken for a number. What the schema does not name may be anything."""

    model_config = ConfigDict(strict=True, extra="allow")


class Costs(Checked):
    """`costs` of a record, all numbers."""

    __pydantic_extra__: dict[str, Cost | None] = Field(init=False)
    trainable_parameters: Annotated[int, Field(ge=0, le=10**18)] = 1


class Verdict(Checked):
    """`verdict` of a record."""

    baseline: str
    delta: Finite


class Budget(Checked):
    """One of `budgets` of a record: validation accuracy where a schedule of so many steps ends."""

    steps: Annotated[int, Field(ge=0, le=10**12)]
    value: Finite


class Tuning(Checked):
    """`tuning` of a record."""

    trials: dict[Trial, float] = {}
    at_half: dict[Trial, float] = {}


class Record(Checked):
    """Types of what `metrics.json` holds. Which keys must be there depends on what it is read for."""

    study: str = ""
    overrides: str | None = None
    bridge: Annotated[str, Field(min_length=1)] = "-"
    sees: Literal["image", "words", "nothing"] = "image"
    conditioning: str = "none"
    insert: str = ""
    positions: bool = False
    benchmark: str = ""
    split: str = "test"
    trained_on: str = ""
    trained_in: str = ""
    taken_from: str | None = None
    seed: Whole = 0
    data_seed: Whole = 0
    lr: Finite | None = None
    tuned_over: list[Finite | str] = []  # learning rates, and warm-ups by name
    verdict: Verdict | None = None
    tuning: Tuning | None = None
    steps: Whole = 0
    examples_seen: Whole = 0
    mixture: dict[str, Finite] = {}
    precision: str | None = None
    features_dtype: str | None = None
    fingerprints: dict[str, str] = {}
    git_sha: str | None = None
    versions: dict[str, str] = {}
    machine: str | None = None
    costs: Costs = Costs()
    curve: list[Annotated[list[Finite], Field(min_length=2, max_length=2)]] = []
    budgets: list[Budget] = []
    metrics: dict[str, float | None] = {}


def regular(path: Path, most: int | None = None, fix: str = FIX) -> Path:
    """The path, if a plain file of at most so many bytes is there: a named pipe would be waited for, a device never ends.

    Raises:
        Malformed: if it is something else, or larger.
        OSError: if it can't be looked at.
    """
    told = path.stat()
    if not stat.S_ISREG(told.st_mode):
        raise Malformed(f"{path} is not a regular file. {fix}")
    if most is not None and told.st_size > most:
        raise Malformed(f"{path} has {told.st_size:,} bytes, and at most {most:,} are read. {fix}")
    return path


def read_json(path: Path, fix: str = FIX) -> Any:
    """A JSON file's content.

    Raises:
        Malformed: if it is no regular file or no JSON (nor is one nested too deep, or with half of a surrogate pair).
        OSError: if it can't be read.
    """
    content = regular(path, MOST, fix).read_bytes()
    try:
        return from_json(content)
    except ValueError as error:
        raise Malformed(f"{path} is not JSON ({error}). {fix}") from error


def checked(path: Path, content: Any, schema: type[Schema], fix: str = FIX) -> Schema:
    """The content by its schema, if it fits.

    Args:
        path: where it is from, for the message.
        fix: ends the message.
    Raises:
        Malformed: with the first value that does not fit.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, value = ".".join(map(str, first["loc"])), _short(first["input"])
        rule = first["msg"][0].lower() + first["msg"][1:]
        told = f"holds {key}={value}" if key else f"is {value}"
        raise Malformed(" ".join(f"{path} {told}: {rule}. {fix}".split())) from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def read_record(run: Path, required: Sequence[str] = ()) -> dict[str, Any]:
    """A run's `metrics.json`.

    Args:
        run: its folder.
        required: keys without which it is of no use to the reader.
    Raises:
        Malformed: if it is no JSON, a value is not of its type, or a key is lacking.
        OSError: if it can't be read.
    """
    path = run / RECORD
    content = read_json(path)
    checked(path, content, Record)
    if lacking := [key for key in required if key not in content]:
        raise Malformed(f"{path} lacks {', '.join(lacking)}. A record needs {', '.join(required)}. {FIX}")
    return content


def mapping(text: str) -> dict[Any, Any]:
    """A YAML mapping of plain values: no aliases, by which a few hundred bytes blow up, no tags, no nesting without end.

    Raises:
        ValueError: if it is something else.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_plain(yaml.parse(text, Loader=loader))
        content = yaml.load(text, Loader=loader) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"it is {_short(content)}, and no mapping")
    return content


def _check_plain(events: Iterable[Any]) -> None:
    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds an alias")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"it holds the tag {event.tag}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()  # half of a surrogate pair can't be printed


def read_yaml(path: Path, parse: Callable[[str], Mapping[Any, Any]] = mapping) -> Mapping[Any, Any]:
    """The mapping that a YAML file holds; empty where the file is.

    Args:
        path: of the file.
        parse: makes it of the file's text; what it raises as a ValueError is told.
    Raises:
        Malformed: if it holds something else.
        OSError: if it can't be read.
    """
    content = regular(path, MOST_OF_CONFIG).read_bytes()
    try:
        return parse(content.decode())
    except ValueError as error:
        raise Malformed(f"{path} can't be read ({' '.join(str(error).split())}). {FIX}") from error


def read_config(run: Path) -> DictConfig:
    """Return a run's `config.yaml` under today's names of its keys. Its interpolations were resolved as it was written.

    Raises:
        Malformed: if it is no mapping of plain values, or holds an interpolation.
        OSError: if it can't be read.
    """
    path = run / "config.yaml"
    found = read_yaml(path, _config)
    assert isinstance(found, DictConfig)
    return found


def _config(text: str) -> DictConfig:
    mapping(text)
    if "${" in text:
        raise ValueError("it holds an interpolation, ${…}")
    try:
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(str(error)) from error
    assert isinstance(content, dict)
    return OmegaConf.create(with_current_keys(content))
