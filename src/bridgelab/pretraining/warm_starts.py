"""Make warm starts from finished runs: a file of weights and a card for each, and one page of all."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor

from bridgelab.bridge.weights import write_weights
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.push_to_hub import bridge_config, portable
from bridgelab.pretraining.warm_start_page import write_page
from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import read_config, read_record

NEEDED = ("bridge", "seed", "steps", "lr", "budgets", "costs", "metrics", "config_hash")
# Of a record: what the page tells and what a reader needs to train the same again.
KEPT = (
    *NEEDED, "study", "git_sha", "machine", "data_seed", "warmup", "tuned_over", "tuning", "mixture", "examples_seen", "verdict",
)  # fmt: skip
RECIPE = ("train", "tune", "optim", "budget", "data")


def make_warm_starts(folders: Sequence[Path], out: Path, *, trust: bool = False) -> list[Path]:
    """Write a warm start for each run that trained a bridge that reads images, and the page of all; return the paths of the cards.

    Args:
        folders: of studies, or of runs.
        out: the folder of all warm starts.
        trust: see `load_trained`.
    Raises:
        FileNotFoundError: if a run has no checkpoint.
        ValueError: if there is no such run, one began with the weights of another, or two would be the same warm start; else as
            `load_trained`.
    """
    runs: dict[Path, Path] = {}
    for run in _trained_runs(folders):
        path = _place(run)
        if path in runs:
            raise ValueError(
                f"{run} and {runs[path]} would both be the warm start {path.stem}: of one bridge, number of tokens and seed there is one. "
                "Name the runs of one study."
            )
        runs[path] = run
    # All are made before the first is put in its place, where the package's own may lie.
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".warm-starts-", dir=out.resolve().parent) as folder:
        temporary = Path(folder)
        for path, run in runs.items():
            _make_one(run, temporary / path, trust=trust)
        for path in (file for weights in runs for file in (weights, weights.with_suffix(".json"))):
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / path, out / path)
    write_page(out)
    return [out / path.with_suffix(".json") for path in runs]


def _trained_runs(folders: Sequence[Path]) -> list[Path]:
    paths = [
        path
        for folder in folders
        for path in ([folder] if is_finished(folder) else sorted(folder.glob("*/")))
    ]
    found = [path for path in paths if is_finished(path) and _trained_on_images(path)]
    if not found:
        raise ValueError(
            f"{', '.join(map(str, folders))} holds no finished run that trained a bridge that reads images. Give a study's folder, such as "
            "runs/STUDY."
        )
    return found


def _trained_on_images(run: Path) -> bool:
    """Return whether a run trained a bridge that reads images: no floor and no ceiling, which start from nothing anywhere."""
    record = read_record(run, NEEDED)
    return bool(record["steps"] > 0 and record.get("sees", "image") == "image")


def _place(run: Path) -> Path:
    """Return the path of a run's weights, in the folder of all warm starts."""
    record = read_record(run, NEEDED)
    if record.get("init_from"):
        raise ValueError(
            f"{run} started from {record['init_from']}: a warm start is trained from scratch, so that its card tells of all its training. "
            "Give another run."
        )
    tokens = int(record["costs"]["visual_tokens"])
    name = f"{record['bridge'].rpartition('.')[2]}_{tokens}_seed{record['seed']}"
    return Path(Path(str(OmegaConf.select(read_config(run), "text.path"))).name) / f"{name}.safetensors"


def _make_one(run: Path, path: Path, *, trust: bool) -> None:
    """Write a run's weights to the path, and its card beside them."""
    record = read_record(run, NEEDED)
    config, backbones, model = load_trained(run, trust=trust)
    write_weights({key: _on_disk(value) for key, value in model.trained_state().items()}, path)
    content = {
        **bridge_config(record["bridge"], config, backbones, model),
        "seed": record["seed"],
        "tokens": int(record["costs"]["visual_tokens"]),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": {group: portable(config[group]) for group in RECIPE},
        "record": {key: record.get(key) for key in KEPT},
    }
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def _on_disk(tensor: Tensor) -> Tensor:
    """Return matrices in bfloat16; vectors, the output scale and the patches' moments as they are, since they are small."""
    return tensor.to(torch.bfloat16) if tensor.is_floating_point() and tensor.ndim > 1 else tensor
