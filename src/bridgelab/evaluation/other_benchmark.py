"""A trained run on another benchmark, or another split: `bridgelab evaluate`. Nothing is trained, and no choice is made."""

import logging
import time
from pathlib import Path

from omegaconf import DictConfig

from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.device import local_device
from bridgelab.evaluation.costs import COSTED, measure_costs
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import Progress, evaluate
from bridgelab.runs.environment import provenance
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import claim, config_hash
from bridgelab.runs.record import write_json, write_predictions
from bridgelab.runs.record_schema import read_record

OF_EVALUATION = ("benchmark", "evaluate", "data", "paths")  # what is asked for anew; all else is the run's
log = logging.getLogger(__name__)


def evaluate_run(
    run: Path,
    asked: DictConfig,
    root: Path,
    *,
    split: str = "test",
    progress: Progress | None = None,
    trust: bool = False,
) -> Path:
    """Evaluate a trained run; the record stands in `<study>_on_<benchmark>` beside the run's study, as if it were a study.

    Args:
        run: a finished run's folder.
        asked: as `conf/train.yaml` composes it, for its groups `OF_EVALUATION`.
        root: of the code, whose commit the record names.
        split: of the benchmark.
        progress: called with what is done, how many examples of it, and of how many.
        trust: as `load_trained` takes it.
    Returns:
        The record's folder.
    Raises:
        FileNotFoundError: if the run lacks a file, or data are missing.
        ValueError: if the benchmark has not as many images an example as the bridge has positions for, or no such split.
    """
    began = time.monotonic()
    device = local_device()
    config, backbones, model = load_trained(run, device, trust=trust)
    for group in OF_EVALUATION:
        config[group] = asked[group]
    data = BenchmarkDataModule(backbones, [split])
    name = data.benchmark.name if split == "test" else f"{data.benchmark.name}_{split}"
    study = f"{run.resolve().parent.name}_on_{name}"
    out = run.resolve().parent.with_name(study) / run.resolve().name
    config.study = study
    for stated in ("question", "hypothesis"):  # of a study that only evaluates; else those of the run stand
        config[stated] = asked[stated] or config.get(stated)
    if claim(out, config):
        log.info("%s is finished: metrics.json stands, nothing to do", out)
        return out
    data.setup("test")
    tests = data.test_examples(split, model.conditioning)
    train = {}
    if "train" in data.benchmark.splits:  # for the majority floor alone
        train = {kind: data.benchmark.examples("train", kind) for kind in tests}
    rows, metrics = evaluate(
        model,
        tests,
        data.benchmark.metrics(),
        train,
        batch_size=config.evaluate.batch_size,
        num_beams=config.evaluate.num_beams,
        shuffled=config.evaluate.shuffled and model.sees == "image",
        images=data.num_images(split),
        progress=progress,
    )
    write_predictions(out / "predictions.parquet", rows)
    some = next(iter(tests.values()))
    record = read_record(run, ("costs", "benchmark"))
    record.pop("taken_from", None)  # of the run; this is made here
    costs = record["costs"] | measure_costs(model, some.batch(list(range(min(len(some), COSTED)))))
    told = {
        "study": study,
        "benchmark": name,
        "split": split,
        "question": config.question,
        "hypothesis": config.hypothesis,
        "trained_on": record["benchmark"],
        "trained_in": run.resolve().parent.name,
        **data.record_fields(),
        "precision": model.precision,
        "config_hash": config_hash(config),
        **provenance(root, device),
        "costs": costs | {"wall_seconds": time.monotonic() - began},
        "metrics": metrics,
    }
    write_json(out / RECORD, record | told)
    return out
