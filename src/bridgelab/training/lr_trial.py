"""The trials of the search for a learning rate: short trainings, judged by their validation loss."""

import functools
import math
import tempfile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bridgelab.data.batches import TrainingBatches
from bridgelab.evaluation.predict import mean_loss
from bridgelab.model import BridgedModel
from bridgelab.runs.identity import config_hash
from bridgelab.training.budgets import branch_step, smaller_budgets
from bridgelab.training.experiment import Experiment
from bridgelab.training.fit import Span
from bridgelab.training.lr_search import search


def learning_rate(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Return learning rate and warm-up: those of the config, or the best of the search that all seeds share.

    Args:
        experiment: of the run.
        folder: of the run, beside which the search's lies.
    """
    train = experiment.config.train
    if train.lr is not None:
        return {"lr": float(train.lr), "warmup": train.schedule.warmup, "tuned_over": [float(train.lr)]}
    return search_rate(experiment, folder.parent / "tune")


def search_rate(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Search the learning rate and the warm-up of a bridge, as `lr_search.search` does.

    Args:
        experiment: of any seed of the bridge: all seeds share the search.
        folder: of all searches of the study.
    """
    config = experiment.config
    shared = OmegaConf.masked_copy(
        config, [str(k) for k in config if k not in ("seed", "data_seed", "evaluate")]
    )
    # A run's folder can't name the search: a long name is shortened, and then differs from seed to seed.
    key = config_hash(shared, training=True)
    return search(
        folder / f"{config.bridge._target_.rpartition('.')[2]}-{key}",
        list(config.tune.lrs),
        functools.partial(run_trial, experiment),
        warmup=float(config.train.schedule.warmup),
        warmups=list(config.tune.warmups),
        extend=config.tune.extend,
        config_hash=key,
    )


def run_trial(experiment: Experiment, lr: float, warmup: float) -> dict[str, float]:
    """Train for `tune.steps` with a rate and a warm-up, and return `val/loss`, also by kind.

    If the schedule has a constant part, a cool-down branches off it at half the steps, and `half/val/loss` is returned too.
    """
    tune, schedule = experiment.config.tune, experiment.config.train.schedule
    label = f"lr={lr:g}, warmup={warmup:g}"
    train = functools.partial(experiment.fit, lr=lr, warmup=warmup, single_process=True)

    def start() -> tuple[BridgedModel, TrainingBatches]:
        return experiment.model(tune.seed), experiment.data.batches(tune.steps, tune.seed)

    model, batches = start()
    experiment.init_output_scale(model, batches)
    has_constant_part = schedule.shape == "warmup_stable_decay" and warmup < 1 - schedule.decay
    halves = smaller_budgets(tune.steps, [0.5], schedule.decay) if has_constant_part else []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = {Path(folder) / f"{end}.ckpt": end for end in halves}
        branches = {path: branch_step(end, schedule.decay) for path, end in checkpoints.items()}
        train(model, batches, label=label, span=Span(branches=branches))
        result = validation_losses(experiment, model)
        for path, end in checkpoints.items():
            model, batches = start()
            train(model, batches, label=f"{label}, {end} steps", span=Span(start=path, stop=end))
            result |= {"half/steps": end, "half/val/loss": validation_losses(experiment, model)["val/loss"]}
    return result


def validation_losses(experiment: Experiment, model: BridgedModel) -> dict[str, float]:
    """Return the loss on val by kind, and `val/loss`, their mean with the weights of the last stage."""
    model.to(experiment.device)
    val, size = experiment.data.val, experiment.config.evaluate.batch_size
    stage = experiment.config.train.stages[-1]
    weights = {kind: stage.get("caption" if kind == "caption" else "answer", 0) for kind in val}
    if not any(weights.values()):  # the stage draws only from kinds that val lacks
        weights = dict.fromkeys(val, 1)
    losses = {
        kind: mean_loss(model, examples, range(len(examples)), batch_size=size)
        for kind, examples in val.items()
        if weights[kind]
    }
    weighted = sum(weights[kind] * loss for kind, loss in losses.items())
    total = weighted / sum(weights[kind] for kind in losses)
    return {"val/loss": total if math.isfinite(total) else math.inf} | {
        f"val/loss_{kind}": loss for kind, loss in losses.items()
    }
