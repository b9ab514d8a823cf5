"""The trials of the search for a learning rate: short trainings, judged by their validation loss."""

import functools
import math
from pathlib import Path
from typing import Any

from bridgelab.evaluation.predict import mean_loss
from bridgelab.model import BridgedModel
from bridgelab.out_of_memory import explain_full_evaluation
from bridgelab.runs.identity import search_key
from bridgelab.runs.initial_weights import initial_file
from bridgelab.training.budgets import branch_step, smaller_budgets
from bridgelab.training.experiment import Experiment
from bridgelab.training.fit import Span
from bridgelab.training.input_check import with_seed
from bridgelab.training.lr_search import HALF_LOSS, point_name, search


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
    # A run's folder can't name the search: a long name is shortened, and then differs from seed to seed.
    key = search_key(config)
    trials = folder / f"{config.bridge._target_.rpartition('.')[2]}-{key}"
    rate = search(
        trials,
        list(config.tune.lrs),
        functools.partial(run_trial, experiment, trials),
        warmup=float(config.train.schedule.warmup),
        warmups=list(config.tune.warmups),
        extend=config.tune.extend,
        finalists=config.tune.finalists,
        half_trial=functools.partial(run_half, experiment, trials),
        config_hash=key,
        start=initial_file(with_seed(config, config.tune.seed)),
        code=experiment.own_code,
        fingerprints=experiment.fingerprints | experiment.content,
    )
    for trunk in trials.glob("*.ckpt"):  # of trials that were no finalists; another job has none left to do
        trunk.unlink(missing_ok=True)
    return rate


def run_half(experiment: Experiment, folder: Path, lr: float, warmup: float) -> dict[str, float]:
    """Train for half of `tune.steps`, and return the validation loss there as `half/val/loss`.

    The checkpoint at which this cool-down branches off stays in the folder, so that a finalist resumes from it.

    Raises:
        ValueError: if the schedule has no constant part to branch off, or too few steps.
    """
    schedule, tune = experiment.config.train.schedule, experiment.config.tune
    if not smaller_budgets(tune.steps, [0.5], schedule.decay):
        raise ValueError(
            f"tune.finalists={tune.finalists} with tune.steps={tune.steps}: half of these steps has none for the cool-down, "
            f"train.schedule.decay={schedule.decay:g} of them. Set tune.steps higher, or tune.finalists=null."
        )
    if not has_halves(experiment, warmup):
        raise ValueError(
            f"tune.finalists={tune.finalists}: trials can go on from half of their steps only in a schedule that is constant where "
            f"half begins to cool down, and train.schedule is {schedule.shape} with warm-up {warmup:g}. Set tune.finalists=null, or "
            "a shorter warm-up."
        )
    half = round(0.5 * tune.steps)
    branches = {trunk_path(folder, lr, warmup): branch_step(half, schedule.decay)}
    losses = _trained(experiment, lr, warmup, Span(branches=branches, stop=half))
    return {"half/steps": half, HALF_LOSS: losses["val/loss"]}


def run_trial(experiment: Experiment, folder: Path, lr: float, warmup: float) -> dict[str, float]:
    """Train for `tune.steps` with a rate and a warm-up, and return `val/loss`, also by kind.

    If the schedule has a constant part, a cool-down branches off it at half of the steps, and its loss is returned too. What
    `run_half` has done already is not done again.
    """
    trunk, result = trunk_path(folder, lr, warmup), {}
    half_is_done = trunk.exists() and trunk.with_suffix(".half.json").exists()
    if has_halves(experiment, warmup) and not half_is_done:
        result = run_half(experiment, folder, lr, warmup)
    losses = _trained(experiment, lr, warmup, Span(start=trunk if trunk.exists() else None))
    trunk.unlink(missing_ok=True)
    return losses | result


def has_halves(experiment: Experiment, warmup: float) -> bool:
    """Return whether trials with this warm-up have a constant part by the step at which half of the steps begin to cool down."""
    schedule = experiment.config.train.schedule
    constant = schedule.shape == "warmup_stable_decay" and warmup <= 0.5 * (1 - schedule.decay)
    return constant and bool(smaller_budgets(experiment.config.tune.steps, [0.5], schedule.decay))


def trunk_path(folder: Path, lr: float, warmup: float) -> Path:
    """Return the checkpoint of a trial at the step where its half begins to cool down."""
    return folder / f"{point_name((lr, warmup))}.ckpt"


def _trained(experiment: Experiment, lr: float, warmup: float, span: Span) -> dict[str, float]:
    """Train a span of a trial, and return its validation losses."""
    tune = experiment.config.tune
    model, batches = experiment.model(tune.seed), experiment.data.batches(tune.steps, tune.seed)
    if span.start is None:
        experiment.init_output_scale(model, batches)
    label = f"lr={lr:g}, warmup={warmup:g}" + (f", {span.stop} steps" if span.stop else "")
    experiment.fit(
        model, batches, lr=lr, warmup=warmup, seed=tune.seed, single_process=True, label=label, span=span
    )
    return validation_losses(experiment, model)


def validation_losses(experiment: Experiment, model: BridgedModel) -> dict[str, float]:
    """Return the loss on val by kind, and `val/loss`, their mean with the weights of the last stage.

    Kinds of question share the weight of their pool by their numbers of training examples, as batches of it do.

    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    model.to(experiment.device)
    val, size = experiment.data.val, experiment.config.evaluate.batch_size
    stage = experiment.config.train.stages[-1]
    asked = {kind: len(own) for kind, own in experiment.data.examples("train").items() if kind != "caption"}
    shares = {kind: number / max(1, sum(asked.values())) for kind, number in asked.items()}
    weights = {
        kind: stage.get("caption", 0) if kind == "caption" else stage.get("answer", 0) * shares.get(kind, 0)
        for kind in val
    }
    if not any(weights.values()):  # the stage draws only from kinds that val lacks
        weights = dict.fromkeys(val, 1)
    with explain_full_evaluation(size):
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
