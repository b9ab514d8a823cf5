"""Train a run's bridge: rate search, training, cool-downs of smaller budgets."""

import functools
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from bridgelab.config.instantiate import build
from bridgelab.model import BridgedModel
from bridgelab.runs.identity import config_hash
from bridgelab.runs.initial_weights import INIT_FROM, initial_file
from bridgelab.runs.own_code import OWN_CODE
from bridgelab.training.budgets import branch_points, cool_down, smaller_budgets
from bridgelab.training.checkpoint import has_checkpoint
from bridgelab.training.experiment import Experiment
from bridgelab.training.fit import Outputs, Span
from bridgelab.training.lr_trial import learning_rate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What training gave, as the record keeps it; the defaults are those of a bridge that is not trained.

    Args:
        rate: {lr, warmup, tuned_over}, and what the search found.
        curve: (step, validation accuracy).
        seconds: trained, without the cool-downs.
        batches: of each pool.
        budgets: {steps, value, train_seconds} of each budget, the whole run last.
    """

    rate: dict[str, Any] = field(default_factory=lambda: {"lr": None, "warmup": None, "tuned_over": []})
    curve: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    batches: dict[str, int] = field(default_factory=dict)
    budgets: list[dict[str, Any]] = field(default_factory=list)


def checkpoint_identity(experiment: Experiment) -> dict[str, str]:
    """Return what a checkpoint must share with a run to be resumed by it."""
    start = initial_file(experiment.config)
    return {
        **experiment.fingerprints,
        **experiment.content,
        "config": config_hash(experiment.config, training=True),
        **({INIT_FROM: start} if start else {}),
        **({OWN_CODE: experiment.own_code} if experiment.own_code else {}),
    }


def train_bridge(
    experiment: Experiment, model: BridgedModel, directory: Path, wandb_logger: WandbLogger | None
) -> Trained:
    """Train a bridge at the best rate, then cool it down at each smaller budget.

    Args:
        experiment: all that stands around the bridge.
        model: the bridge at its initialization; its trained weights in the end.
        directory: the run's folder.
        wandb_logger: W&B's logger of this run; None if W&B is not used.
    """
    config = experiment.config
    steps, decay = config.train.steps, config.train.schedule.decay
    rate = learning_rate(experiment, directory)
    log.info("learning rate %g, warm-up %g", rate["lr"], rate["warmup"])
    batches = experiment.data.batches(steps, config.data_seed)
    counts = batches.sampler.counts()
    experiment.init_output_scale(model, batches)
    ends = smaller_budgets(steps, config.train.budgets, decay)
    fit = functools.partial(
        experiment.fit,
        lr=rate["lr"],
        warmup=rate["warmup"],
        identity=checkpoint_identity(experiment),
        seed=config.seed,
        progress_bar=True,
    )
    outputs = functools.partial(
        Outputs,
        save_every=config.train.save_every,
        log_every=config.train.log_every,
        validate=experiment.validate,
        attempts=experiment.attempts,
    )
    branches = branch_points(directory, ends, decay, anew=not has_checkpoint(directory))
    full = fit(
        model,
        batches,
        span=Span(branches=branches),
        outputs=outputs(
            directory,
            loggers=_loggers(experiment, directory, wandb_logger),
            points=config.train.val_points,
            at_start=bool(config.bridge.get("init_from")),
        ),
    )

    def cool_down_to(end: int, checkpoint: Path, folder: Path) -> dict[str, Any]:
        cooled = fit(
            experiment.model(config.seed),
            experiment.data.batches(steps, config.data_seed),
            span=Span(start=checkpoint, stop=end),
            outputs=outputs(folder, points=1),
            label=f"budget of {end} steps",
        )
        return {"value": cooled.curve[-1][1], "train_seconds": cooled.seconds}

    budgets = cool_down(directory, ends, cool_down_to)
    if full.curve:
        last_step, value = full.curve[-1]
        budgets.append({"steps": last_step, "value": value, "train_seconds": full.seconds})
    return Trained(rate, full.curve, full.seconds, counts, budgets)


def _loggers(experiment: Experiment, directory: Path, wandb_logger: WandbLogger | None) -> list[Logger]:
    chosen = experiment.config.logger
    loggers: list[Logger] = [build(chosen.csv, "logger", directory=directory)]
    if "tensorboard" in chosen:
        loggers.append(build(chosen.tensorboard, "logger", save_dir=str(directory)))
    return loggers + ([wandb_logger] if wandb_logger else [])
