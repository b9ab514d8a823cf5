"""Keys of training: optimizer, trainer, loggers, schedule and the search for a learning rate. Free of torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
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
    adamw_ratio: Positive = 1.0
    momentum: Decay = 0.0
    betas: Betas = Field([0.0, 0.0])
    weight_decay: NotNegative = 0.0


# Lightning's arguments that another key of the config decides, which a run would override or be cut short by.
INSTEAD = {
    "precision": "train.precision",
    "log_every_n_steps": "train.log_every",
    **dict.fromkeys(
        ("max_steps", "min_steps", "max_epochs", "min_epochs", "max_time", "limit_train_batches", "overfit_batches", "fast_dev_run"),
        "train.steps",
    ),
    "logger": "logger",
    "enable_checkpointing": "train.save_every",
}  # fmt: skip
# Those that a run gives itself, so that what is given would be dropped -> what to do instead.
OF_THE_RUN = {
    "callbacks": "Remove it; a training with callbacks of your own is a loop of your own, see docs/api.md",
    **dict.fromkeys(
        ("enable_progress_bar", "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler"), "Remove it"
    ),
}  # fmt: skip


def _without_places(devices: object) -> object:
    """Refuse GPUs by their places: Lightning alone would use these, and all that a run does outside of training the first ones."""
    if isinstance(devices, list):
        places = ",".join(map(str, devices))
        raise PydanticCustomError(
            "devices",
            "must be the number of GPUs, since their places mean nothing to the encoding of images and to the evaluation. Set "
            "trainer.devices={number}, and CUDA_VISIBLE_DEVICES={places} in the environment",
            {"number": max(1, len(devices)), "places": places},
        )
    return devices


class Trainer(ClassKeys):
    accelerator: Name
    devices: Annotated[Count | Literal[-1, "auto"], BeforeValidator(_without_places)]
    num_nodes: Count
    strategy: Name
    gradient_clip_val: NotNegative | None = None
    accumulate_grad_batches: Count = 1

    @model_validator(mode="after")
    def _check_decided_elsewhere(self) -> "Trainer":
        extra = self.model_extra or {}
        for key in sorted(INSTEAD.keys() & extra.keys()):
            context = {"key": key, "value": str(extra[key]), "instead": INSTEAD[key]}
            raise PydanticCustomError(
                "instead", "a run's {instead} decides this. Remove it, and set {instead}", context
            )
        for key in sorted(OF_THE_RUN.keys() & extra.keys()):
            context = {"key": key, "value": str(extra[key]), "instead": OF_THE_RUN[key]}
            raise PydanticCustomError(
                "instead", "a run has its own, and this one would be dropped. {instead}", context
            )
        return self


class Csv(ClassKeys):
    pass


class TensorBoard(ClassKeys):
    name: str
    version: str
    default_hp_metric: bool


class Wandb(ClassKeys):
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
