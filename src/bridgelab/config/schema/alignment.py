"""All keys of `conf/align.yaml`. Free of torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bridgelab.config.schema.base import Count, Keys, Name, PathName, Positive, Seed, Share
from bridgelab.config.schema.config import within_runs
from bridgelab.config.schema.data import Benchmark
from bridgelab.config.schema.model import Bridge, Text, Vision
from bridgelab.config.schema.training import Optim, Schedule, Trainer


class CaptionLength(Keys):
    answer: Count


class CaptionData(Keys):
    features: Literal["store", "online"]
    dtype: Literal["bfloat16", "float16", "float32", "int8"]
    on_error: Literal["refuse", "skip"]
    max_skipped: Share
    max_length: CaptionLength


class AlignmentTrain(Keys):
    steps: Count
    batch_size: Annotated[int, Field(ge=2)]
    lr: Positive
    schedule: Schedule
    precision: Literal["auto", "bf16", "fp32"]
    save_every: Count
    log_every: Count
    val_points: Count
    val_images: Count


class AlignmentPaths(Keys):
    runs: PathName
    features: PathName


class AlignmentConfig(Keys):
    study: Annotated[Name, AfterValidator(within_runs)]
    seed: Seed
    data_seed: Seed
    bridge: Bridge
    vision: Vision
    text: Text
    benchmark: Benchmark
    optim: Optim
    trainer: Trainer
    embed_dim: Count
    data: CaptionData
    train: AlignmentTrain
    paths: AlignmentPaths

    @model_validator(mode="after")
    def _check_batch(self) -> "AlignmentConfig":
        devices = self.trainer.devices if isinstance(self.trainer.devices, int) else 1
        processes = max(1, devices) * self.trainer.num_nodes
        if self.trainer.accumulate_grad_batches > 1:
            raise PydanticCustomError(
                "contrast",
                "trainer.accumulate_grad_batches={parts}: the contrast is over the whole batch, which can't be taken in parts. Set it "
                "to 1, and train.batch_size lower if memory is short",
                {"parts": self.trainer.accumulate_grad_batches},
            )
        if self.train.batch_size % processes or self.train.batch_size < 2 * processes:
            raise PydanticCustomError(
                "batch_size",
                "train.batch_size={size} must be a multiple of the {processes} processes, with two pairs or more for each",
                {"size": self.train.batch_size, "processes": processes},
            )
        return self
