"""What a config may hold: type and range of every key of `conf/`, checked before anything is read. Free of torch.

A key is declared here once, whichever options of its group have it: an undeclared one is refused, and fails tests/test_configs.py.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bridgelab.runs.older_names import current_key

LEAST_RATES = 3  # of a search
OWN = "bridgelab."  # classes whose keys are all known here


def _expanded(path: str) -> str:
    if path.startswith("~"):
        raise PydanticCustomError(
            "home",
            "must not begin with '~', which a shell alone expands: give {whole}",
            {"whole": str(Path(path).expanduser())},
        )
    return path


def leads_out(study: str) -> bool:
    """Whether a study's folder would lie elsewhere than below the folder of all."""
    return Path(study).is_absolute() or ".." in Path(study).parts


def _inside(study: str) -> str:
    if leads_out(study):
        raise PydanticCustomError("outside", "must be a name, without '..' and no leading '/'")
    return study


def _drawing(stage: dict[str, float]) -> dict[str, float]:
    if not stage.get("share", 1) or not any(weight for name, weight in stage.items() if name != "share"):
        raise PydanticCustomError(
            "stage", "must have a share above 0, and a weight for answer, caption or simple_caption"
        )
    return stage


Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ProperShare = Annotated[float, Field(gt=0, lt=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[list[Decay], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1)]
PathName = Annotated[Name, AfterValidator(_expanded)]
Stage = Annotated[
    dict[Literal["share", "answer", "caption", "simple_caption"], NotNegative], AfterValidator(_drawing)
]


class _Keys(BaseModel):
    """Keys that are all declared."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_default=False)


class _Class(_Keys):
    """Keys of a class that the config names. Of one that is not ours, only those that are declared are looked at."""

    model_config = ConfigDict(extra="allow")
    target: Name = Field(alias="_target_")
    partial: bool = Field(False, alias="_partial_")

    @model_validator(mode="after")
    def _known(self) -> "_Class":
        if self.target.startswith(OWN) and self.model_extra:
            unknown = sorted(self.model_extra)[0]
            known = [field.alias or name for name, field in type(self).model_fields.items()]
            told = {"key": unknown, "hint": nearest(unknown, known)}
            raise PydanticCustomError("unknown", "there is no such key{hint}", told)
        return self


class _Bridge(_Class):
    init_from: PathName | None = None
    num_queries: Count = 1
    num_tokens: Number = 1
    depth: Count = 1
    width: Count | None = None
    hidden_dim: Count | None = None
    ffn_dim: Count | None = None
    num_heads: Count = 1
    num_kv_heads: Count = 1
    head_dim: Count | None = None
    cross_attention_every: Count = 1
    ffn_ratio: Count = 1
    ratio: Count = 1
    dropout: Decay = 0.0
    query_gain: Positive = 1.0
    eps: Positive = 1.0
    conditioning: Literal["none", "question", "mismatched"] = "none"
    projector: Literal["linear", "mlp"] = "linear"
    form: Literal["as_given", "patch_like"] = "as_given"


class _Vision(_Class):
    weights: PathName = "miniature"
    pretrained: PathName | None = None
    image_size: Count | None = None
    layer: int = -1
    cls: bool = False
    final_norm: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class _Text(_Class):
    path: PathName = "miniature"
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Name = "eager"
    device_map: str | dict[str, Any] | None = None
    eight_bit: bool = False
    checkpointing: bool = False


class _Published(_Keys):
    """Sizes of each split, as `bridgelab doctor` assumes them before the data are here."""

    images: dict[Literal["train", "val", "test"], Count] = {}
    examples: dict[Literal["train", "val", "test"], Count] = {}


class _Benchmark(_Class):
    root: PathName
    published: _Published | None = None
    name: Name = ""
    hub: Name | None = None
    revision: Name | None = None
    train: Name | None = None
    val: Name | None = None
    test: Name | None = None
    val_share: ProperShare = 0.5
    test_share: ProperShare = 0.5
    train_folder: Name = ""
    test_folder: Name = ""
    seed: Seed = 0
    variant: Name = ""
    prompt: Name = ""
    question_prompt: Name = ""
    caption_prompt: Name = ""
    questions: Name = ""
    annotations: Name | None = None
    image: Name = ""
    images: Name | dict[str, Count] = ""  # a folder; of the built-in world how many each split has
    file: Name = ""
    files: dict[Literal["train", "val", "test"], Name] = {}
    blank: Name | None = None
    bend: Name | None = None
    objects: Annotated[list[Count], Field(min_length=2, max_length=2)] = [1, 1]
    processes: Count = 1
    questions_per_image: Count = 1
    size: Count = 1


class _Optim(_Class):
    adamw_ratio: Positive = 1.0
    momentum: Decay = 0.0
    betas: Betas = [0.0, 0.0]
    weight_decay: NotNegative = 0.0


class _Trainer(_Class):
    accelerator: Name
    devices: Count | Literal[-1, "auto"] | list[Number]
    num_nodes: Count
    strategy: Name
    gradient_clip_val: NotNegative | None = None
    accumulate_grad_batches: Count = 1


class _Csv(_Class):
    pass


class _TensorBoard(_Class):
    name: str
    version: str
    default_hp_metric: bool


class _Wandb(_Class):
    project: Name
    offline: bool


class _Logger(_Keys):
    csv: _Csv
    tensorboard: _TensorBoard | None = None
    wandb: _Wandb | None = None
    artifact: bool = False


class _Model(_Keys):
    insert: Literal["encoder_input", "encoder_output"]
    positions: bool


class _Budget(_Keys):
    params: Count | None
    tokens: Count | None


class _MaxLength(_Keys):
    prompt: Count | None
    answer: Count | None


class _Data(_Keys):
    features: Literal["store", "online"]
    dtype: Literal["bfloat16", "float16", "float32"]
    on_error: Literal["refuse", "skip"]
    max_skipped: Share
    max_length: _MaxLength


class _Schedule(_Keys):
    shape: Literal["linear", "cosine", "constant", "warmup_stable_decay"]
    warmup: Share
    decay: ProperShare


class _Limit(_Keys):
    answer: Number | None = None
    caption: Number | None = None


class _Train(_Keys):
    steps: Number
    batch_size: Count
    stages: Annotated[list[Stage], Field(min_length=1)]
    simple_objects: Number
    window: Count
    lr: Positive | None
    schedule: _Schedule
    budgets: list[ProperShare]
    precision: Literal["auto", "bf16", "fp32"]
    save_every: Count
    log_every: Count
    val_points: Count
    val_limit: _Limit


class _Tune(_Keys):
    lrs: list[Positive]
    extend: Number
    warmups: list[Share]
    steps: Count
    seed: Seed


class _Evaluate(_Keys):
    batch_size: Count
    num_beams: Count
    shuffled: bool
    captioned: Name | None
    limit: _Limit


class _Verdict(_Keys):
    baseline: Name
    delta: ProperShare


class _Paths(_Keys):
    runs: PathName
    features: PathName
    reuse: PathName | list[PathName] | None


class _Config(_Keys):
    study: Annotated[Name, AfterValidator(_inside)]
    question: str | None
    hypothesis: str | None
    seed: Seed
    data_seed: Seed
    compile: bool
    bridge: _Bridge
    vision: _Vision
    text: _Text
    benchmark: _Benchmark
    optim: _Optim
    trainer: _Trainer
    logger: _Logger
    model: _Model
    budget: _Budget
    data: _Data
    train: _Train
    tune: _Tune
    evaluate: _Evaluate
    verdict: _Verdict
    paths: _Paths

    @model_validator(mode="after")
    def _parts(self) -> "_Config":
        devices = self.trainer.devices if isinstance(self.trainer.devices, int) else 1
        parts = max(1, devices) * self.trainer.num_nodes * self.trainer.accumulate_grad_batches
        if self.train.batch_size % parts:
            raise PydanticCustomError(
                "parts",
                "train.batch_size={size} is not divisible by {parts}, which is trainer.devices times num_nodes times "
                "accumulate_grad_batches. Make it a multiple",
                {"size": self.train.batch_size, "parts": parts},
            )
        return self

    @model_validator(mode="after")
    def _branches(self) -> "_Config":
        shares, schedule = self.train.budgets, self.train.schedule
        if not shares:
            return self
        if schedule.shape != "warmup_stable_decay":
            raise PydanticCustomError(
                "branches",
                "train.budgets={shares} with train.schedule.shape={shape}: a smaller budget branches off a constant rate. Set "
                "train.schedule.shape=warmup_stable_decay, or train.budgets=[]",
                {"shares": str(shares), "shape": schedule.shape},
            )
        if (1 - schedule.decay) * min(shares) < schedule.warmup:
            raise PydanticCustomError(
                "branches",
                "train.budgets={shares}: at {least} of the steps the cool-down would begin before the warm-up ends. Leave it "
                "out, or set train.schedule.warmup below {most}",
                {
                    "shares": str(shares),
                    "least": min(shares),
                    "most": f"{(1 - schedule.decay) * min(shares):g}",
                },
            )
        return self

    @model_validator(mode="after")
    def _rates(self) -> "_Config":
        rates = sorted(set(self.tune.lrs))
        if self.train.lr is None and self.train.steps and len(rates) < LEAST_RATES:
            raise PydanticCustomError(
                "rates",
                "tune.lrs={rates} has {number} values: a search needs at least {least}. Add some, or set train.lr",
                {"rates": str(rates), "number": len(rates), "least": LEAST_RATES},
            )
        return self


class _Launcher(_Class):
    slots: Count | None = None
    gpus_per_job: Count = 1
    threads: Count | None = None
    finished: Name
    timeout_min: Count = 1
    signal_delay_s: Number = 0
    array_parallelism: Count = 1
    cpus_per_task: Count = 1
    mem_gb: Positive | None = None
    stderr_to_stdout: bool = True
    setup: list[str] | None = None
    srun_args: list[str] | None = None
    additional_parameters: dict[str, Any] = {}


class _Hydra(_Keys):
    launcher: _Launcher


class _Sweep(_Keys):
    hydra: _Hydra


# Groups that name a class: a user's own has keys of its own.
CLASSES = frozenset(
    name
    for name, field in _Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Class | _Logger)
)
TOLD = {  # in place of pydantic's own words
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "string_too_short": "must not be empty",
    "missing": "must be given",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be finite",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
SCALAR = ("int_type", "float_type", "string_type", "bool_type")


def check_config(config: DictConfig) -> None:
    """Refuse a config that a run would stumble over, before anything is read.

    Args:
        config: as `conf/train.yaml` composes it.
    Raises:
        ValueError: a line for each key at fault, with its value and the rule.
    """
    kept = {key: value for key, value in config.items_ex(resolve=False) if key != "hydra"}
    try:
        content = OmegaConf.to_container(OmegaConf.create(kept), resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    check_content(content)


def check_launcher(config: DictConfig) -> None:
    """As `check_config`, of what runs a sweep.

    Args:
        config: with Hydra's own.
    Raises:
        ValueError: a line for each key at fault.
    """
    launcher = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    check_content({"hydra": {"launcher": launcher}}, _Sweep)


def check_content(content: Any, keys: type[BaseModel] = _Config) -> None:
    """As `check_config`, of a config as plain dictionaries, resolved."""
    try:
        keys.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(_lines(error.errors(include_url=False), content))) from None


def declared(keys: type[BaseModel] = _Config, before: str = "") -> set[str]:
    """Every key that is declared, such as `train.steps`."""
    found = set()
    for name, field in keys.model_fields.items():
        key = f"{before}{field.alias or name}"
        found.add(key)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= declared(kind, f"{key}.")
    return found


def nearest(name: str, options: Iterable[str]) -> str:
    """Return today's name of a key that was renamed, or a question after the nearest name, or nothing."""
    if current_key(name) != name:
        return f". It is now {current_key(name)}. Write the new name"
    close = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.5)
    return f". Did you mean {close[0]}?" if close else ""


def _lines(errors: Sequence[Any], content: Any) -> list[str]:
    """A line for each key at fault; where one of several types would do, with the rule of each."""
    told: dict[str, str] = {}
    for error in errors:
        kind, value, named = error["type"], error["input"], error.get("ctx", {})
        key = _key(error["loc"], content, whole=kind in ("missing", "extra_forbidden"))
        rule = TOLD[kind].format(**named).replace("'", "") if kind in TOLD else error["msg"]
        if kind == "unknown":
            told[f"{key}.{named['key']}"] = f"{key}.{named['key']}: {rule}"
        elif kind == "extra_forbidden":
            told[key] = f"{key}: there is no such key{nearest(key, declared())}"
        elif error["loc"][-1:] == ("[key]",):
            told[key] = f"{key}: there is no such key, it {rule}"
        elif not key:  # of several keys together: its message says which
            told[key] = rule
        elif key in told:
            told[key] += f", or {rule.removeprefix('must be ')}"
        elif kind == "missing":
            told[key] = f"{key} {rule}"
        else:
            told[key] = f"{key}={'null' if value is None else repr(value)}: {rule}"
            if isinstance(value, list) and kind in SCALAR:
                told[key] += f"; a sweep over several is written -m {key}=A,B"
    deepest = [key for key in told if not any(other.startswith((f"{key}.", f"{key}[")) for other in told)]
    return [told[key] if told[key].endswith("?") else f"{told[key]}." for key in deepest]


def _key(place: Sequence[str | int], content: Any, *, whole: bool) -> str:
    """A place as one writes it, `train.stages[0].share`; what is not in the content, such as a type that was tried, is left out.

    Args:
        whole: keep the last part, which is not there, or not to be there.
    """
    key, node = "", content
    for number, part in enumerate(place):
        if isinstance(node, dict) and (part in node or (whole and number == len(place) - 1)):
            key, node = f"{key}.{part}" if key else str(part), node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            key, node = f"{key}[{part}]", node[part]
    return key
