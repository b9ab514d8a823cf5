"""Evaluate a trained run on another benchmark or split: `bridgelab evaluate`. Nothing is trained or chosen."""

import logging
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.benchmark.example import Example
from bridgelab.config.root import config_root
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.data.scene_words import NoSceneWords
from bridgelab.data.split_checks import check_captioned
from bridgelab.device import local_device
from bridgelab.evaluation.costs import measure_test_costs
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import ProgressCallback
from bridgelab.evaluation.score import evaluate
from bridgelab.evaluation.trained_images import warn_of_trained_images
from bridgelab.model import BridgedModel
from bridgelab.runs.environment import provenance
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import claim, config_hash
from bridgelab.runs.record import write_json, write_predictions
from bridgelab.runs.record_schema import read_record
from bridgelab.world.layout import TooManyWords

# Taken from the new config; all others are the run's own. So is the benchmark, unless one is given.
NEW_GROUPS = ("benchmark", "evaluate", "data", "paths")
# The run's own unless they are given: the bridge was trained on features of this type, and on texts of this length.
KEPT = ("data.dtype", "data.max_length")
log = logging.getLogger(__name__)


def evaluate_run(
    run: Path,
    new_config: DictConfig,
    *,
    split: str = "test",
    progress: ProgressCallback | None = None,
    trust: bool = False,
    given: Collection[str] = (),
) -> Path:
    """Evaluate a trained run, and return the folder of its record: `<study>_on_<benchmark>/<run>`, beside the run's study.

    With `evaluate.tokens` the study's name ends in `_with_<tokens>_tokens`. If `study` is given, it is the first part of the name.

    Args:
        run: a finished run's folder.
        new_config: as `conf/train.yaml` composes it; its groups `NEW_GROUPS` are used.
        split: of the benchmark.
        progress: called with the task, the number of examples done, and the total.
        trust: see `load_trained`.
        given: keys of the new config that were chosen for this evaluation, among `study`, `KEPT`, `experiments`, `benchmark`
            and its keys. Without a benchmark the run's own is evaluated, with those of its keys that are given.
    Raises:
        FileNotFoundError: if the run lacks a file, or data are missing.
        TooManyWords: if the ceiling words_patch_like has no place for a scene's words.
        NoSceneWords: if the bridge is such a ceiling and the benchmark's images have no words.
        ValueError: if the benchmark has no such split, fewer or more images per example than the bridge has positions for, or no
            captions with the prompt `evaluate.captioned`, or the run was trained anew since it was evaluated.
    """
    clock = time.monotonic()
    device = local_device()
    config, backbones, model = load_trained(run, device, trust=trust)
    record = read_record(run, ("costs", "benchmark"))
    trained, own_benchmark = config.get("data", OmegaConf.create()), config.benchmark
    for group in NEW_GROUPS:
        config[group] = new_config[group]
    if not {"benchmark", "experiments"} & set(given):
        config.benchmark = _own_benchmark(own_benchmark, new_config.benchmark, given)
    for key in KEPT:
        name = key.partition(".")[2]
        if name in trained and not any(f"{one}.".startswith(f"{key}.") for one in given):
            OmegaConf.update(config, key, trained[name], merge=False)
    for text in ("question", "hypothesis"):  # those of the run, unless the new config has its own
        config[text] = new_config[text] or config.get(text)
    data = BenchmarkDataModule(backbones, [split])
    benchmark = data.benchmark.name if split == "test" else f"{data.benchmark.name}_{split}"
    study = run.resolve().parent
    first = new_config.study if "study" in given else study.name
    backbones.limit_tokens(model.bridge)
    used = f"_with_{config.evaluate.tokens}_tokens" if config.evaluate.get("tokens") else ""
    config.study = f"{first}_on_{benchmark}{used}"
    folder = study.parent / config.study / run.resolve().name
    if claim(folder, config):
        _refuse_former_weights(folder, run, record)
        log.info("%s is already finished, nothing to do", folder)
        return folder
    train, captions = floor_examples(data.benchmark), training_captions(data, model)
    data.setup("test")
    try:
        tests = data.test_examples(split, model.conditioning)
    except (TooManyWords, NoSceneWords):
        shutil.rmtree(folder)  # else it would be missing from every report
        raise
    warn_of_trained_images(own_benchmark, (e for own in tests.values() for e in own.examples))
    rows, metrics = evaluate_split(model, data, tests, train, captions, split, progress)
    write_predictions(folder / "predictions.parquet", rows)
    record.pop("taken_from", None)  # true of the run, not of this evaluation
    costs = record["costs"] | measure_test_costs(model, tests)
    changed = {
        "study": config.study,
        "benchmark": benchmark,
        "split": split,
        "question": config.question,
        "hypothesis": config.hypothesis,
        "trained_on": record["benchmark"],
        "trained_in": study.name,
        **data.record_fields(),
        "precision": model.precision,
        "config_hash": config_hash(config),
        **provenance(config_root(), device),
        "costs": costs | {"wall_seconds": time.monotonic() - clock},
        "metrics": metrics,
    }
    write_json(folder / RECORD, record | changed)
    return folder


def _refuse_former_weights(folder: Path, run: Path, record: Mapping[str, Any]) -> None:
    """Refuse a finished evaluation whose run was trained anew since: configs are equal, but the answers are of the former weights.

    An evaluation's record has the curve and the seconds of the training that it evaluated.
    """

    def training(of: Mapping[str, Any]) -> tuple[Any, Any]:
        return of.get("curve"), of["costs"].get("train_seconds")

    if training(read_record(folder, ("costs",))) != training(record):
        raise ValueError(
            f"{folder} is an evaluation of another training of {run}, which was trained anew since: one directory holds one run. Give this "
            "evaluation another study=NAME, or move that directory away."
        )


def _own_benchmark(trained: DictConfig, new: DictConfig, given: Collection[str]) -> DictConfig:
    """Return a run's own benchmark with the given keys changed.

    If that equals the composed benchmark, return the composed one: hashes are of unresolved configs.
    """
    own = OmegaConf.create(OmegaConf.to_container(trained, resolve=True))
    assert isinstance(own, DictConfig)
    for group, _, key in (name.partition(".") for name in given):
        if group == "benchmark":
            OmegaConf.update(own, key, OmegaConf.select(new, key), merge=False)
    return new if own == OmegaConf.to_container(new, resolve=True) else own


def floor_examples(benchmark: Any) -> dict[str, list[Example]]:
    """Return training examples by kind for the majority floor; none, with a warning, if they are not there.

    Call it before images are encoded, which takes long, since examples that are there and malformed are refused.
    """
    if "train" not in benchmark.splits:
        return {}
    try:
        return {kind: benchmark.examples("train", kind) for kind in benchmark.kinds if kind != "caption"}
    except OSError as error:
        log.warning("the majority floor is left out, since the training examples can't be read: %s", error)
        return {}


def training_captions(data: BenchmarkDataModule, model: BridgedModel) -> list[Example]:
    """Return the training captions if questions are also to be answered from captions (`evaluate.captioned`); else none.

    Call it before images are encoded, as `floor_examples`.

    Raises:
        ValueError: if the benchmark's captions have another prompt than `evaluate.captioned`, or it has none.
    """
    prompt, benchmark = data.config.evaluate.captioned, data.benchmark
    if prompt is None or model.sees != "image":
        return []
    has_captions = "train" in benchmark.splits and "caption" in benchmark.kinds
    captions = benchmark.examples("train", "caption") if has_captions else []
    check_captioned(prompt, captions, benchmark.name)
    return captions


def evaluate_split(
    model: BridgedModel,
    data: BenchmarkDataModule,
    tests: dict[str, TokenizedExamples],
    train: Mapping[str, list[Example]],
    captions: Sequence[Example],
    split: str,
    progress: ProgressCallback | None,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return rows for `predictions.parquet` and metrics of a split: `score.evaluate` with the choices of the data's config.

    Args:
        model: the bridge between its backbones.
        data: the benchmark, set up with this split.
        tests: the split's examples by kind.
        train: see `floor_examples`.
        captions: see `training_captions`.
        split: its name.
        progress: called with the task, the number of examples done, and the total.
    """
    benchmark, choices = data.benchmark, data.config.evaluate
    return evaluate(
        model,
        tests,
        benchmark.metrics(),
        train,
        batch_size=choices.batch_size,
        num_beams=choices.num_beams,
        shuffled=choices.shuffled and model.sees == "image",
        images=data.num_images(split),
        to_caption=data.caption_requests(tests, captions, split=split, conditioning=model.conditioning)
        if captions
        else None,
        progress=progress,
    )
