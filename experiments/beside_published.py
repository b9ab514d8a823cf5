"""Print what another layer of the ViT, or clutter, changes: a study's runs beside runs of `published` with the same bridge, seed and rate.

python experiments/beside_published.py runs vit_layer
python experiments/beside_published.py runs clutter_trained

The folder holds the study, `published` and `published_rates`. The table is that of a study on another split (`docs/world.md`).
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from bridgelab.report.formats.markdown import to_markdown
from bridgelab.report.table import StudyTables
from bridgelab.report.tables.shift import Shift, shift_between, shift_table
from bridgelab.runs.study import Study, read_study

SEEDS = range(3)
# Of each study: what differs, in it and in the runs beside it; and these runs by bridge, with the learning rate that the study was given.
STUDIES = {
    "vit_layer": (
        ("first block", "last block"),
        {"linear": "published/bridge=linear,seed={}", "mlp": "published_rates/bridge=mlp,seed={},train.lr=0.0025"},
    ),
    "clutter_trained": (
        ("test-clutter", "test"),
        {
            "linear": "published/bridge=linear,seed={}",
            "qformer": "published/bridge=qformer,seed={}",
            "perceiver": "published_rates/bridge=perceiver,seed={},train.lr=0.005",
            "blind": "published/bridge=blind,seed={}",
        },
    ),
}  # fmt: skip


def main(runs: str, name: str) -> None:
    """Print the table of one study."""
    print(to_markdown(StudyTables("", (shift_table(shift(Path(runs), name)),), ())))


def shift(runs: Path, name: str) -> Shift:
    """Return what the study `name` changes.

    Raises:
        ValueError: if no run of the study has one beside it.
    """
    (split, plain), sources = STUDIES[name]
    with tempfile.TemporaryDirectory() as folder:
        first = gather(Path(folder), runs, sources)
        found = shift_between(first, read_study(runs / name, allow=("train.lr",)), split, plain)
    if found is None:
        raise ValueError(f"{runs / name} has no run of {', '.join(sources)}: unpack its record there.")
    return found


def gather(folder: Path, runs: Path, sources: dict[str, str]) -> Study:
    """Make a study of runs of several studies.

    Args:
        folder: where to copy their records.
        runs: the folder of the studies.
        sources: by bridge, the path of its runs below `runs`, with `{}` for the seed.
    """
    for bridge, source in sources.items():
        for seed in SEEDS:
            copy = folder / f"bridge={bridge},seed={seed}"
            shutil.copytree(runs / source.format(seed), copy)
            record = json.loads((copy / "metrics.json").read_text())
            (copy / "metrics.json").write_text(json.dumps(record | {"overrides": copy.name}))
    return read_study(folder, allow=("train.lr", "train.steps"))


if __name__ == "__main__":
    main(*sys.argv[1:])
