"""Read the files of a run as untrusted data: regular files of bounded size, checked against a schema. Free of torch.

Every fault of a file is raised as `Malformed`, so that a reader of many runs can report it and go on with the others.
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

MAX_RECORD = 2**26  # bytes of a record
MAX_CONFIG = 2**20  # bytes of a config
MAX_DEPTH = 64  # levels of a config
MAX_VALUE = 60  # characters of a value in a message
FIX = "A run writes its files whole: delete the folder, and run its study again."

Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, le=1e18)]
# `training.lr_search` names its trials so: 'lr=0.01,warmup=0.05'
Trial = Annotated[str, Field(pattern=r"^lr=\d+(\.\d+)?(e[-+]\d+)?,warmup=\d+(\.\d+)?(e[-+]\d+)?$")]


Schema = TypeVar("Schema", bound=BaseModel)


class Malformed(ValueError):
    """A file that is not as a run writes it. The message is one line and names the file."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class Checked(BaseModel):
    """A strict model: no string passes for a number. Keys that the schema does not name may have any value."""

    model_config = ConfigDict(strict=True, extra="allow")


class Costs(Checked):
    """`costs` of a record. All values are numbers."""

    __pydantic_extra__: dict[str, Cost | None] = Field(init=False)
    trainable_parameters: Annotated[int, Field(ge=0, le=10**18)] = 1
    adapter_parameters: Annotated[int, Field(ge=0, le=10**18)] = 0  # of the trainable ones


class Verdict(Checked):
    """`verdict` of a record."""

    baseline: str
    delta: Finite


class Budget(Checked):
    """One of a record's `budgets`: validation accuracy at the end of a schedule of so many steps."""

    steps: Annotated[int, Field(ge=0, le=10**12)]
    value: Finite


class Tuning(Checked):
    """`tuning` of a record."""

    trials: dict[Trial, float] = {}
    at_half: dict[Trial, float] = {}


class Attempt(Checked):
    """One of a record's `attempts`, if a run was resumed. Those of earlier releases tell of their seconds alone."""

    seconds: Cost
    precision: str | None = None
    git_sha: str | None = None
    machine: str | None = None


class Record(Checked):
    """Types of the keys of `metrics.json`. Each reader names the keys that it requires."""

    study: str = ""
    overrides: str | None = None
    bridge: Annotated[str, Field(min_length=1)] = "-"
    sees: Literal["image", "words", "nothing"] = "image"
    conditioning: str = "none"
    insert: str = ""
    positions: bool = False
    adapt: str = "none"
    benchmark: str = ""
    split: str = "test"
    trained_on: str = ""
    trained_in: str = ""
    taken_from: str | None = None
    init_from: str | None = None  # source of the initial weights, with a commit or a hash
    own_code: str | None = None  # file and hash of the code of a user-defined bridge
    seed: Integer = 0
    data_seed: Integer = 0
    lr: Finite | None = None
    tuned_over: list[Finite | str] = []  # learning rates, and warm-ups by name
    verdict: Verdict | None = None
    tuning: Tuning | None = None
    steps: Integer = 0
    examples_seen: Integer = 0
    mixture: dict[str, Finite] = {}
    precision: str | None = None
    features_dtype: str | None = None
    fingerprints: dict[str, str] = {}
    git_sha: str | None = None
    versions: dict[str, str] = {}
    machine: str | None = None
    attempts: list[Attempt] = []
    costs: Costs = Costs()
    curve: list[Annotated[list[Finite], Field(min_length=2, max_length=2)]] = []
    budgets: list[Budget] = []
    init_budgets: list[Budget] = []  # of the run that made its warm start
    metrics: dict[str, float | None] = {}


def regular(path: Path, most: int | None = None, fix: str = FIX, *, follow: bool = False) -> Path:
    """Return the path if it is a regular file of at most `most` bytes. Reading a pipe or a device might never end.

    Args:
        path: the file. Its folder may be a link.
        most: bytes.
        fix: the end of the message.
        follow: read through a link, as the files of the hub's cache are. In a run, which may be anybody's, a link may lead anywhere.
    Raises:
        Malformed: if it is not a regular file, or larger.
        OSError: if it can't be accessed.
    """
    status = path.stat(follow_symlinks=follow)
    if stat.S_ISLNK(status.st_mode):
        raise Malformed(f"{path} is a link, which may lead anywhere. Put the file itself in its place.")
    if not stat.S_ISREG(status.st_mode):
        raise Malformed(f"{path} is not a regular file. {fix}")
    if most is not None and status.st_size > most:
        raise Malformed(f"{path} has {status.st_size:,} bytes, and at most {most:,} are read. {fix}")
    return path


def read_json(path: Path, fix: str = FIX, *, follow: bool = False) -> Any:
    """Return the content of a JSON file.

    Args:
        path, fix, follow: as in `regular`.
    Raises:
        Malformed: if it is not a regular file or no valid JSON, or if it is nested too deeply or holds half a surrogate pair.
        OSError: if it can't be read.
    """
    content = regular(path, MAX_RECORD, fix, follow=follow).read_bytes()
    try:
        return from_json(content)
    except ValueError as error:
        raise Malformed(f"{path} is not JSON ({error}). {fix}") from error


def checked(path: Path, content: Any, schema: type[Schema], fix: str = FIX) -> Schema:
    """Return the content as its schema's model.

    Args:
        path: the file of the content, for the message.
        fix: the end of the message.
    Raises:
        Malformed: with the first value that breaks the schema.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, value = ".".join(map(str, first["loc"])), _short(first["input"])
        rule = first["msg"][0].lower() + first["msg"][1:]
        description = f"holds {key}={value}" if key else f"is {value}"
        raise Malformed(" ".join(f"{path} {description}: {rule}. {fix}".split())) from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


def read_record(run: Path, required: Sequence[str] = ()) -> dict[str, Any]:
    """Return a run's record, `metrics.json`.

    Args:
        run: the run's folder.
        required: keys that the reader needs.
    Raises:
        Malformed: if it is no JSON, a value has another type than the schema's, or a required key is missing.
        OSError: if it can't be read.
    """
    path = run / RECORD
    content = read_json(path)
    checked(path, content, Record)
    if lacking := [key for key in required if key not in content]:
        raise Malformed(f"{path} lacks {', '.join(lacking)}. A record needs {', '.join(required)}. {FIX}")
    return content


def mapping(text: str) -> dict[Any, Any]:
    """Return the mapping that a YAML text holds, if it has plain values only.

    Aliases, which let a few hundred bytes expand without bound, tags and deep nesting are refused.

    Raises:
        ValueError: if the text holds one of these, or no mapping.
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
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()  # raises for half a surrogate pair, which can't be printed


def read_yaml(path: Path, parse: Callable[[str], Mapping[Any, Any]] = mapping) -> Mapping[Any, Any]:
    """Return the mapping that a YAML file holds. An empty file gives an empty mapping.

    Args:
        path: the file.
        parse: a function from the file's text to the mapping, which raises ValueError for a malformed text.
    Raises:
        Malformed: if the text is malformed.
        OSError: if it can't be read.
    """
    content = regular(path, MAX_CONFIG).read_bytes()
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
    config = read_yaml(path, _config)
    assert isinstance(config, DictConfig)
    return config


def _config(text: str) -> DictConfig:
    if "${" in repr(mapping(text)):  # of the values, since YAML may write a sign by its number
        raise ValueError("it holds an interpolation, ${…}")
    try:
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(str(error)) from error
    assert isinstance(content, dict)
    return OmegaConf.create(with_current_keys(content))
