"""Compare linear with the Q-Former at equal captions: by the rule of `captions_first`, choose of each bridge and seed the run to compare.

python experiments/equal_captions.py runs/captions_first 6000 runs/scratch
bridgelab report runs/scratch --allow train.steps

The level is the mean CIDEr-D over seeds of the bridge that captions worse after 2,000 steps. The run nearest to it is chosen.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

BRIDGES = ("linear", "qformer")
SEEDS = range(3)
END = 2000  # steps


def main(study: str, images: str, out: str) -> None:
    """Copy the chosen runs to a study of their own, and print which they are."""
    level, chosen = choose(Path(study), int(images))
    print(f"level: CIDEr-D {level:.2f}")
    for (bridge, seed), run in chosen.items():
        copy = Path(out) / f"bridge={bridge},seed={seed}"
        shutil.copytree(run, copy)
        record = json.loads((copy / "metrics.json").read_text())
        (copy / "metrics.json").write_text(json.dumps(record | {"overrides": copy.name}))
        print(
            f"{bridge}, seed {seed}: {record['steps']:,} steps, CIDEr-D {record['metrics']['test/cider']:.2f}"
        )


def choose(study: Path, images: int) -> tuple[float, dict[tuple[str, int], Path]]:
    """Return the level, and the run of each bridge and seed that is nearest to it."""
    captions: dict[tuple[str, int], dict[int, tuple[float, Path]]] = {
        (bridge, seed): {} for bridge in BRIDGES for seed in SEEDS
    }
    for run in study.glob(f"benchmark.images.train={images},*"):
        bridge, seed, steps = re.search(r"bridge=(\w+),seed=(\d),.*steps=(\d+)", run.name).groups()
        record = json.loads((run / "metrics.json").read_text())
        captions[bridge, int(seed)][int(steps)] = record["metrics"]["test/cider"], run
    # With 6,000 images linear has no run of so many steps: it captions better than the Q-Former after 500.
    ends = [
        [captions[bridge, seed][END][0] for seed in SEEDS] for bridge in BRIDGES if END in captions[bridge, 0]
    ]
    level = float(min(map(np.mean, ends)))
    return level, {
        row: min(runs.values(), key=lambda one: abs(one[0] - level))[1] for row, runs in captions.items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
