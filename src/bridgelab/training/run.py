"""One run, from its config to its record."""

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.config.instantiate import build
from bridgelab.device import trainer_device
from bridgelab.evaluation.costs import COSTED, measure_costs
from bridgelab.evaluation.predict import predict_views, score
from bridgelab.runs.environment import provenance
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import config_hash
from bridgelab.runs.record import repeat_untrained, write_json, write_predictions
from bridgelab.training.budgets import branch_points, cool_down, smaller
from bridgelab.training.console import summary
from bridgelab.training.experiment import Experiment
from bridgelab.training.fit import LAST, save_untrained
from bridgelab.training.loggers.wandb_logger import tell_record

log = logging.getLogger(__name__)


def train_and_evaluate(
    config: DictConfig, directory: Path, *, bridge: str, watched: WandbLogger | None
) -> None:
    """Train and evaluate one bridge; the record stands in `directory` when this returns.

    Args:
        config: as `conf/train.yaml` composes it.
        directory: the run's own, claimed.
        bridge: its name in `conf/bridge/`.
        watched: W&B's logger of this run, or None.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    began = time.monotonic()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    experiment = Experiment(config, trainer_device(config.trainer.accelerator))
    identity = {**experiment.fingerprints, "config": config_hash(config, training=True)}

    tuned: dict[str, Any] = {"lr": None, "warmup": None, "tuned_over": []}
    model = experiment.model(config.seed)
    has_weights = any(p.requires_grad for p in model.parameters())
    trains = has_weights and config.train.steps > 0
    curve: list[tuple[int, float]] = []
    seconds = 0.0
    counts: dict[str, int] = {}
    budgets: list[dict[str, Any]] = []
    if not trains and getattr(rank_zero_only, "rank", 0) > 0:
        return  # nothing brings the processes together: the first does it all
    if not trains and repeat_untrained(directory, config, experiment.fingerprints):
        log.info("nothing is trained: another seed's record says the same")
        return
    if trains:
        tuned = experiment.tune(directory)
        log.info("learning rate %g, warm-up %g", tuned["lr"], tuned["warmup"])
        batches = experiment.batches(config.train.steps, config.data_seed)
        counts = batches.sampler.counts()
        experiment.init_output_scale(model, batches)
        loggers: list[Logger] = [build(config.logger.csv, "logger", directory=directory)]
        if "tensorboard" in config.logger:
            loggers.append(build(config.logger.tensorboard, "logger", save_dir=str(directory)))
        if watched:
            loggers.append(watched)
        decay = config.train.schedule.decay
        ends = smaller(config.train.steps, config.train.budgets, decay)
        fit = partial(
            experiment.fit,
            lr=tuned["lr"],
            warmup=tuned["warmup"],
            identity=identity,
            validate=experiment.validate,
            save_every=config.train.save_every,
            log_every=config.train.log_every,
            terminal=sys.stderr.isatty(),
        )
        curve, seconds = fit(
            model,
            batches,
            points=config.train.val_points,
            directory=directory,
            loggers=loggers,
            branches=branch_points(directory, ends, decay),
        )

        def branch(end: int, begin: Path, own: Path) -> dict[str, Any]:
            cooled, again = (
                experiment.model(config.seed),
                experiment.batches(config.train.steps, config.data_seed),
            )
            label = f"budget of {end} steps"
            points, spent = fit(cooled, again, points=1, directory=own, end=end, begin=begin, label=label)
            return {"value": points[-1][1], "train_seconds": spent}

        budgets = cool_down(directory, ends, branch)
        if curve:
            budgets.append({"steps": curve[-1][0], "value": curve[-1][1], "train_seconds": seconds})
    elif has_weights:  # train.steps=0: evaluated as it begins, which a run's folder must be able to tell
        experiment.init_output_scale(model, experiment.batches(1, config.data_seed))
        save_untrained(model, identity, directory / LAST)
    model.to(experiment.device).eval()

    tests = experiment.tests()
    found = predict_views(
        model,
        tests,
        batch_size=config.evaluate.batch_size,
        num_beams=config.evaluate.num_beams,
        shuffled=config.evaluate.shuffled and model.sees == "image",
        images=experiment.material.images_of("test"),
        to_caption=experiment.to_caption(tests) if model.sees == "image" else None,
        progress=every_tenth("evaluating"),
    )
    if torch.distributed.is_initialized():
        rank = torch.distributed.get_rank()
        torch.distributed.destroy_process_group()
        if rank:
            return  # the first process has all predictions: it judges them and writes
    rows, metrics = score(found, tests, experiment.benchmark.metrics(), experiment.train_examples)
    after = {name: side.fingerprint for name, side in experiment.backbones.all.items()}
    before = {name: experiment.fingerprints[name] for name in after}
    if after != before:
        raise RuntimeError(
            f"fingerprints were {before}, and are {after} after training: what is frozen has changed."
        )
    some = next(iter(tests.values()))
    costs = measure_costs(model, some.batch(list(range(min(len(some), COSTED)))))
    write_predictions(directory / "predictions.parquet", rows)
    content = {
        "study": config.study,
        "question": config.question,
        "hypothesis": config.hypothesis,
        "overrides": directory.name,
        "bridge": bridge,
        "sees": model.sees,
        "conditioning": model.conditioning,
        "insert": config.model.insert,
        "positions": config.model.positions,
        "benchmark": experiment.benchmark.name,
        "seed": config.seed,
        "data_seed": config.data_seed,
        "lr": tuned["lr"],
        "warmup": tuned["warmup"],
        "tuned_over": tuned["tuned_over"],
        "verdict": dict(config.verdict),
        "tuning": {key: tuned[key] for key in ("at_edge", "trials", "at_half") if key in tuned},
        "steps": config.train.steps if trains else 0,
        "examples_seen": config.train.steps * config.train.batch_size if trains else 0,
        "mixture": {name: number * config.train.batch_size for name, number in counts.items()},
        "precision": model.precision,
        "compiled": bool(config.compile and trains),
        **experiment.material.told(),
        "fingerprints": experiment.fingerprints,
        "config_hash": config_hash(config),
        **provenance(Path(os.environ["BRIDGELAB_ROOT"]), experiment.device),
        "costs": {**costs, "train_seconds": seconds, "wall_seconds": time.monotonic() - began},
        "curve": curve,
        "budgets": budgets,
        "curve_of": "token probability" if set(experiment.val) == {"caption"} else "accuracy",
        "metrics": metrics,
    }
    if watched:
        kept = directory / LAST if trains and config.logger.get("artifact") else None
        tell_record(watched, content, rows, tests, model, experiment.backbones.vision, kept)
    write_json(directory / RECORD, content)
    for line in summary(metrics, directory):
        log.info("%s", line)


def every_tenth(label: str) -> Callable[[str, int, int], None]:
    """Progress as log lines with the time left, one for each tenth of the way that is behind."""
    began: dict[str, float] = {}
    said: dict[str, int] = {}

    def say(what: str, done: int, of: int) -> None:
        start = began.setdefault(what, time.monotonic())
        tenth = 10 * done // of  # which batches seldom end on
        if tenth > said.get(what, 0):
            said[what], spent = tenth, time.monotonic() - start
            log.info("%s: %s, %d of %d, %.0f s left", label, what, done, of, spent / done * (of - done))

    return say
