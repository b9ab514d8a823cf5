"""The record of a run, `metrics.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgelab.bridge.warm_starts import WarmStartCard
from bridgelab.evaluation.record_fields import record_fields
from bridgelab.model import BridgedModel
from bridgelab.runs.initial_weights import initial_file
from bridgelab.runs.own_code import OWN_CODE
from bridgelab.training.experiment import Experiment
from bridgelab.training.train_bridge import Trained


def _start(experiment: Experiment) -> str | None:
    """Return the source of the trained weights that a run started from, with a commit or a hash; None for none."""
    config, backbones = experiment.config, experiment.backbones
    if start := backbones.hub_bridge or backbones.warm_starts.get(config.seed):
        return start.source
    return initial_file(config)


def _budgets_of_warm_start(experiment: Experiment) -> list[dict[str, Any]]:
    """Return the budgets of the run that a warm start was made from; empty if this run starts from none."""
    start = experiment.backbones.warm_starts.get(experiment.config.seed)
    return list(start.config.record["budgets"]) if start and isinstance(start.config, WarmStartCard) else []


def run_record(
    experiment: Experiment,
    model: BridgedModel,
    trained: Trained,
    *,
    directory: Path,
    bridge: str,
    metrics: Mapping[str, float],
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of a run's record.

    Args:
        experiment: all that stands around the bridge.
        model: the evaluated bridge between the backbones.
        trained: what its training gave.
        directory: the run's folder.
        bridge: its name in `conf/bridge/`.
        metrics: of the test, by name.
        costs: parameters, tokens, FLOPs and seconds.
    """
    config, rate = experiment.config, trained.rate
    steps, batch_size = (config.train.steps if trained.batches else 0), config.train.batch_size
    return {
        **record_fields(config, model, experiment.device),
        **(experiment.attempts.record_fields() if experiment.attempts else {}),
        "overrides": directory.name,
        "bridge": bridge,
        "benchmark": experiment.data.benchmark.name,
        "lr": rate["lr"],
        "warmup": rate["warmup"],
        "tuned_over": rate["tuned_over"],
        "tuning": {key: rate[key] for key in ("at_edge", "trials", "at_half") if key in rate},
        "steps": steps,
        "examples_seen": steps * batch_size,
        "mixture": {pool: number * batch_size for pool, number in trained.batches.items()},
        "compiled": bool(config.compile and steps),
        **experiment.data.record_fields(),
        "fingerprints": experiment.fingerprints,
        **({"init_from": start} if (start := _start(experiment)) else {}),
        **({OWN_CODE: experiment.own_code} if experiment.own_code else {}),
        **({"init_budgets": budgets} if (budgets := _budgets_of_warm_start(experiment)) else {}),
        "costs": dict(costs),
        "curve": trained.curve,
        "budgets": trained.budgets,
        "curve_of": "token probability" if set(experiment.data.val) == {"caption"} else "accuracy",
        "metrics": dict(metrics),
    }
