"""`bridgelab train`: one run from a config to its record. What is heavy is imported when a run begins."""

import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bridgelab.train.build import PACKAGES, build
from bridgelab.train.claim import claim, config_hash

ROOT = Path(os.environ.setdefault("BRIDGELAB_ROOT", str(Path(__file__).resolve().parents[3])))
LONGEST_NAME = 200
log = logging.getLogger(__name__)


def run_name(overrides: str) -> str:
    """A run's folder from its overrides: one level deep, within the 255 bytes of a file name."""
    name = overrides.replace("/", "_") or "defaults"  # else it would be given the study's own folder
    if len(name.encode()) > LONGEST_NAME:
        name = name[: LONGEST_NAME // 4] + "..." + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name


OmegaConf.register_new_resolver("run_name", run_name, replace=True)


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="train")
def main(config: DictConfig) -> None:
    """One run; a failure is logged here, since Hydra tells of it only when a sweep has ended."""
    job = HydraConfig.get()
    directory = Path(job.runtime.output_dir)
    try:
        own = not config.bridge._target_.startswith(PACKAGES)  # then the yaml's name would be another's
        name = config.bridge._target_ if own else job.runtime.choices["bridge"]
        run(config, directory, bridge=str(name))
    except Exception:
        log.exception("%s failed", directory)
        raise


def run(config: DictConfig, directory: Path, *, bridge: str) -> None:
    """Train and evaluate one bridge; the record stands in `directory` when this returns.

    Args:
        config: as `conf/train.yaml` composes it.
        directory: the run's own.
        bridge: its name in `conf/bridge/`.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    began = time.monotonic()
    if claim(directory, config):
        log.info("%s is finished: metrics.json stands, nothing to do", directory)
        return
    log.info("config of %s\n%s", directory, OmegaConf.to_yaml(config, resolve=True))

    import torch
    from pytorch_lightning.loggers import Logger

    from bridgelab.train.costs import COSTED, measure_costs
    from bridgelab.train.evaluate import evaluate
    from bridgelab.train.features import device_of
    from bridgelab.train.record import (
        is_flat,
        provenance,
        repeat_untrained,
        write_json,
        write_predictions,
    )
    from bridgelab.train.setting import Setting

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    on_gpu = config.trainer.accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    setting = Setting(config, device_of(0) if on_gpu else torch.device("cpu"))
    identity = {**setting.fingerprints, "config": config_hash(config)}

    tuned: dict[str, Any] = {"lr": None, "warmup": None, "tuned_over": []}
    model = setting.model(config.seed)
    trains = any(p.requires_grad for p in model.parameters())
    curve: list[tuple[int, float]] = []
    seconds = 0.0
    counts: dict[str, int] = {}
    if not trains and repeat_untrained(directory, config, setting.fingerprints):
        log.info("nothing is trained: another seed's record says the same")
        return
    if trains:
        tuned = setting.tune(directory)
        log.info("learning rate %g, warm-up %g", tuned["lr"], tuned["warmup"])
        batches = setting.batches(config.train.steps, config.data_seed)
        counts = batches.sampler.counts()
        setting.calibrate(model, batches)
        loggers: list[Logger] = [build(config.logger.csv, directory=directory)]
        if "wandb" in config.logger:
            loggers.append(build(config.logger.wandb, **wandb_identity(directory)))
        try:
            curve, seconds = setting.fit(
                model,
                batches,
                lr=tuned["lr"],
                warmup=tuned["warmup"],
                identity=identity,
                validate=setting.validate,
                points=config.train.val_points,
                directory=directory,
                loggers=loggers,
                save_every=config.train.save_every,
                log_every=config.train.log_every,
                label=directory.name,
                terminal=sys.stderr.isatty(),
            )
        finally:
            if "wandb" in config.logger:
                import wandb

                wandb.finish()
        if torch.distributed.is_initialized():
            rank = torch.distributed.get_rank()
            torch.distributed.destroy_process_group()  # a metric would wait for the others to join in
            if rank:
                return  # the first process evaluates and writes
    model.to(setting.device).eval()

    limit = config.evaluate.limit
    tests = setting.prepared("test", limit)
    rows, metrics = evaluate(
        model,
        tests,
        setting.benchmark.metrics(),
        setting.train_examples,
        batch_size=config.evaluate.batch_size,
        beams=config.evaluate.beams,
        shuffled=config.evaluate.shuffled and model.sees == "image",
        images=setting.material.images_of("test"),
        to_caption=setting.to_caption(tests) if model.sees == "image" else None,
        progress=every_tenth("evaluating"),
    )
    after = {name: side.fingerprint for name, side in setting.sides.all.items()}
    before = {name: setting.fingerprints[name] for name in after}
    if after != before:
        raise RuntimeError(
            f"fingerprints were {before}, and are {after} after training: what is frozen has changed."
        )
    some = next(iter(tests.values()))
    costs = measure_costs(model, some.batch(list(range(min(len(some), COSTED)))))
    write_predictions(directory / "predictions.parquet", rows)
    content = {
        "study": config.study,
        "overrides": directory.name,
        "bridge": bridge,
        "sees": model.sees,
        "conditioning": model.conditioning,
        "insert": config.model.insert,
        "positions": config.model.positions,
        "benchmark": setting.benchmark.name,
        "seed": config.seed,
        "data_seed": config.data_seed,
        "lr": tuned["lr"],
        "warmup": tuned["warmup"],
        "tuned_over": tuned["tuned_over"],
        "verdict": dict(config.verdict),
        "tuning": {key: tuned[key] for key in ("at_edge", "trials") if key in tuned},
        "steps": config.train.steps if trains else 0,
        "examples_seen": config.train.steps * config.train.batch_size if trains else 0,
        "mixture": {name: number * config.train.batch_size for name, number in counts.items()},
        "precision": model.precision,
        **setting.material.told(),
        "fingerprints": setting.fingerprints,
        "config_hash": config_hash(config),
        **provenance(ROOT),
        "costs": {**costs, "train_seconds": seconds, "wall_seconds": time.monotonic() - began},
        "curve": curve,
        "flat": is_flat(curve) if trains else True,
        "metrics": metrics,
    }
    write_json(directory / "metrics.json", content)
    for name, value in metrics.items():
        if "=" not in name:
            log.info("%s %.4f", name, value)


def wandb_identity(directory: Path) -> dict[str, Any]:
    """A W&B run's name and id, the same whenever the run is resumed."""
    name = f"{directory.parent.name}/{directory.name}"
    return {
        "name": directory.name,
        "group": directory.parent.name,
        "id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "save_dir": str(directory),
    }


def every_tenth(label: str) -> Callable[[str, int, int], None]:
    """Progress as log lines, with the time left."""
    began: dict[str, float] = {}

    def say(what: str, done: int, of: int) -> None:
        start = began.setdefault(what, time.monotonic())
        tenth = max(1, of // 4)
        if done == of or done // tenth != (done - 1) // tenth:
            spent = time.monotonic() - start
            log.info(
                "%s: %s, %d of %d, %.0f s left", label, what, done, of, spent / max(done, 1) * (of - done)
            )

    return say


if __name__ == "__main__":
    main()
