"""All keys of a run's config, and the rules that several of them meet together. Free of torch."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator
from pydantic_core import PydanticCustomError

from bridgelab.config.schema.base import ClassKeys, Keys, Name, PathName, Seed
from bridgelab.config.schema.data import Benchmark, Data
from bridgelab.config.schema.evaluation import Evaluate, Verdict
from bridgelab.config.schema.model import Bridge, Budget, Model, Text, Vision
from bridgelab.config.schema.training import Logger, Optim, Train, Trainer, Tune

MIN_RATES = 3  # learning rates of a search


def leads_out(study: str) -> bool:
    """Return whether a study's folder would lie outside `paths.runs`."""
    return Path(study).is_absolute() or ".." in Path(study).parts


def within_runs(study: str) -> str:
    if leads_out(study):
        raise PydanticCustomError("outside", "must be a name, without '..' and no leading '/'")
    return study


class Paths(Keys):
    runs: PathName
    features: PathName
    reuse: PathName | list[PathName] | None


class Config(Keys):
    study: Annotated[Name, AfterValidator(within_runs)]
    question: str | None
    hypothesis: str | None
    seed: Seed
    data_seed: Seed
    compile: bool
    bridge: Bridge
    vision: Vision
    text: Text
    benchmark: Benchmark
    optim: Optim
    trainer: Trainer
    logger: Logger
    model: Model
    budget: Budget
    data: Data
    train: Train
    tune: Tune
    evaluate: Evaluate
    verdict: Verdict
    paths: Paths

    @model_validator(mode="after")
    def _check_batch_size(self) -> "Config":
        devices = self.trainer.devices if isinstance(self.trainer.devices, int) else 1
        divisor = max(1, devices) * self.trainer.num_nodes * self.trainer.accumulate_grad_batches
        if self.train.batch_size % divisor:
            raise PydanticCustomError(
                "batch_size",
                "train.batch_size={size} is not divisible by {divisor}, which is trainer.devices times num_nodes times "
                "accumulate_grad_batches. Make it a multiple",
                {"size": self.train.batch_size, "divisor": divisor},
            )
        return self

    @model_validator(mode="after")
    def _check_compiled(self) -> "Config":
        group = "bridge" if self.bridge.insert else "model"
        if self.compile and (self.bridge.insert or self.model.insert) == "cross_attention":
            raise PydanticCustomError(
                "compiled",
                "compile=true with {group}.insert=cross_attention: torch.compile would compile the layers that read visual tokens "
                "again at each step. Set compile=false",
                {"group": group},
            )
        return self

    @model_validator(mode="after")
    def _check_insert(self) -> "Config":
        own, given = self.bridge.insert, self.model.insert
        if own and given not in (own, "encoder_input"):
            raise PydanticCustomError(
                "insert",
                "model.insert={given} with bridge.insert={own}: the tokens of this bridge enter the T5 where its yaml says. Set "
                "model.insert=encoder_input, or choose a bridge without insert",
                {"given": given, "own": own},
            )
        return self

    @model_validator(mode="after")
    def _check_budgets(self) -> "Config":
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
        warmups = {schedule.warmup: "train.schedule.warmup"}
        if self.train.lr is None and self.train.steps:  # the search may choose one of these
            warmups |= dict.fromkeys(self.tune.warmups, "each of tune.warmups")
        longest = max(warmups)
        if (1 - schedule.decay) * min(shares) < longest:
            raise PydanticCustomError(
                "branches",
                "train.budgets={shares}: at {least} of the steps the cool-down would begin before the warm-up ends, which is "
                "{longest} of all steps. Leave it out, or set {key} to {most} or less",
                {
                    "shares": str(shares),
                    "least": min(shares),
                    "longest": f"{longest:g}",
                    "key": warmups[longest],
                    "most": f"{(1 - schedule.decay) * min(shares):g}",
                },
            )
        return self

    @model_validator(mode="after")
    def _check_lora(self) -> "Config":
        text = self.text
        for key, value, off in (
            ("eight_bit", text.eight_bit, "false"),
            ("device_map", text.device_map, "null"),
        ):
            if text.adapt == "lora" and value:
                raise PydanticCustomError(
                    "lora",
                    "text.adapt=lora with text.{key}={value}: LoRA updates matrices of a T5 that is whole, and on one device. "
                    "Set text.{key}={off}, or text.adapt=prompt",
                    {"key": key, "value": str(value).lower(), "off": off},
                )
        return self

    @model_validator(mode="after")
    def _check_rates(self) -> "Config":
        rates = sorted(set(self.tune.lrs))
        if self.train.lr is None and self.train.steps and len(rates) < MIN_RATES:
            raise PydanticCustomError(
                "rates",
                "tune.lrs={rates} has {number} values: a search needs at least {least}. Add some, or set train.lr",
                {"rates": str(rates), "number": len(rates), "least": MIN_RATES},
            )
        return self


# Groups that name a class. A class of the user's own has keys that are not declared here.
CLASSES = frozenset(
    name
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, ClassKeys | Logger)
)
