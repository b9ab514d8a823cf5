"""Keys of training: optimizer, trainer, loggers, schedule and the search for a learning rate. Free of torch."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from bridgelab.config.schema.base import (
    Betas,
    ClassKeys,
    Count,
    Decay,
    Keys,
    Name,
    NotNegative,
    Number,
    Positive,
    ProperShare,
    Seed,
    Share,
)
from bridgelab.config.schema.evaluation import Limit


def _with_weight(stage: dict[str, float]) -> dict[str, float]:
    if not stage.get("share", 1) or not any(weight for name, weight in stage.items() if name != "share"):
        raise PydanticCustomError(
            "stage", "must have a share above 0, and a weight for answer, caption or simple_caption"
        )
    return stage


Stage = Annotated[
    dict[Literal["share", "answer", "caption", "simple_caption"], NotNegative], AfterValidator(_with_weight)
]


class Optim(ClassKeys):
    of_the_run: ClassVar[Mapping[str, str]] = {
        "lr": "a run's train.lr decides this, or the search of a training over tune.lrs. Remove it, and set one of these"
    }
    adamw_ratio: Positive = 1.0
    momentum: Decay = 0.0
    betas: Betas = Field([0.0, 0.0])
    weight_decay: NotNegative = 0.0


def _decided_by(key: str) -> str:
    return f"a run's {key} decides this. Remove it, and set {key}"


DROPPED = "a run has its own, and this one would be dropped. "
# Lightning's arguments that another key of the config decides, which a run would override or be cut short by, and those that a run
# gives itself, so that what is given would be dropped -> what to do instead.
OF_THE_TRAINER = {
    "precision": _decided_by("train.precision"),
    "log_every_n_steps": _decided_by("train.log_every"),
    **dict.fromkeys(
        ("max_steps", "min_steps", "max_epochs", "min_epochs", "max_time", "limit_train_batches", "overfit_batches", "fast_dev_run"),
        _decided_by("train.steps"),
    ),
    "logger": _decided_by("logger"),
    "enable_checkpointing": _decided_by("train.save_every"),
    **dict.fromkeys(("val_check_interval", "check_val_every_n_epoch"), _decided_by("train.val_points")),
    "limit_val_batches": DROPPED + "Remove it, and set train.val_limit, or in an alignment train.val_images",
    **dict.fromkeys(("limit_test_batches", "limit_predict_batches"), _decided_by("evaluate.limit")),
    "callbacks": DROPPED + "Remove it; a training with callbacks of your own is a loop of your own, see docs/api.md",
    **dict.fromkeys(
        ("enable_progress_bar", "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler"), DROPPED + "Remove it"
    ),
}  # fmt: skip


def _without_indices(devices: object) -> object:
    """Refuse GPU indices: only Lightning would use them, while encoding and evaluation use the first GPUs."""
    if isinstance(devices, list):
        indices = ",".join(map(str, devices))
        raise PydanticCustomError(
            "devices",
            "must be the number of GPUs, not their indices, which encoding and evaluation ignore. Set trainer.devices={number}, and "
            "CUDA_VISIBLE_DEVICES={indices} in the environment",
            {"number": max(1, len(devices)), "indices": indices},
        )
    return devices


class Trainer(ClassKeys):
    of_the_run: ClassVar[Mapping[str, str]] = OF_THE_TRAINER
    accelerator: Name
    devices: Annotated[Count | Literal[-1, "auto"], BeforeValidator(_without_indices)]
    num_nodes: Count
    strategy: Name
    gradient_clip_val: NotNegative | None = None
    accumulate_grad_batches: Count = 1


class Csv(ClassKeys):
    pass


class TensorBoard(ClassKeys):
    of_the_run: ClassVar[Mapping[str, str]] = {"save_dir": DROPPED + "Remove it, and set paths.runs"}
    name: str
    version: str
    default_hp_metric: bool


class Wandb(ClassKeys):
    of_the_run: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("name", "group", "id", "version", "resume", "save_dir", "dir"),
        "a run has its own, from its folder, so that it is the same run in W&B when it resumes. Remove it; study=NAME sets the group",
    )
    project: Name
    offline: bool


class Logger(Keys):
    csv: Csv
    tensorboard: TensorBoard | None = None
    wandb: Wandb | None = None
    artifact: bool = False


class Schedule(Keys):
    shape: Literal["linear", "cosine", "constant", "warmup_stable_decay"]
    warmup: Share
    decay: ProperShare


class Train(Keys):
    steps: Number
    batch_size: Count
    stages: Annotated[list[Stage], Field(min_length=1)]
    simple_objects: Number
    window: Count
    lr: Positive | None
    schedule: Schedule
    budgets: list[ProperShare]
    precision: Literal["auto", "bf16", "fp32"]
    save_every: Count
    log_every: Count
    val_points: Count
    val_limit: Limit


class Tune(Keys):
    lrs: list[Positive]
    extend: Number
    warmups: list[Share]
    steps: Count
    finalists: Count | None
    seed: Seed
