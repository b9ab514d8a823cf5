"""Print how linear's difference to each other bridge changes with each doubling of the patches, and whether that is shown to be a loss.

python docs/patch_slopes.py runs/patches

The slope is that of a line through the differences over log2 of the number of patches, over all questions. It is a weighted sum of the
differences, so it has the variance over seeds and images of any other difference (`bridgelab.statistics.contrast`). Images are the same
with each ViT, and are drawn together. The slopes of a study are one family (Holm).
"""

import sys
from pathlib import Path

import numpy as np

from bridgelab.runs.run import Run
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.contrast import Contribution, contrast, contribution
from bridgelab.statistics.outcome import Finding, judge

DELTA = 0.02  # least slope that matters, in accuracy, as declared


def main(folder: str) -> None:
    """Print one row for each bridge beside linear."""
    print("| slope of | points a doubling | adjusted (Holm) | 90 % | outcome |")
    print("| --- | ---: | ---: | ---: | --- |")
    for bridge, finding in slopes(read_study(Path(folder))).items():
        adjusted, equivalence = (
            " to ".join(f"{100 * end:.1f}" for end in ends).replace("-", "−")
            for ends in (finding.holm_interval, finding.equivalence_interval)
        )
        value = f"{100 * float(finding.contrast.value):+.1f}".replace("-", "−")
        print(f"| linear − {bridge} | {value} | {adjusted} | {equivalence} | {finding.outcome} |")


def slopes(study: Study) -> dict[str, Finding]:
    """Return the slope of linear's difference to each other bridge, in accuracy for each doubling of the patches."""
    levels: dict[str, list[tuple[Run, ...]]] = {}
    for row in study.bridges:
        levels.setdefault(study.of(row)[0].bridge, []).append(study.of(row))
    # Linear outputs one token for each patch.
    patches = [runs[0].record["costs"]["visual_tokens"] for runs in levels["linear"]]
    of = {bridge: _slope(study, runs, np.log2(patches)) for bridge, runs in levels.items()}
    others = {bridge: contrast(of["linear"], slope) for bridge, slope in of.items() if bridge != "linear"}
    return judge(others, delta=DELTA)


def _slope(study: Study, levels: list[tuple[Run, ...]], doublings: np.ndarray) -> Contribution:
    """Return one bridge's slope.

    Args:
        study: whose questions its runs answered.
        levels: its runs with each ViT.
        doublings: log2 of the number of patches of each ViT.
    """
    weights = (doublings - doublings.mean()) / np.square(doublings - doublings.mean()).sum()
    asked = study.questions.index
    level = np.repeat(np.arange(len(levels)), len(asked))
    scores = np.concatenate(
        [np.stack([run.scores["image"][asked] for run in runs]) for runs in levels], axis=1
    )
    cells = [(float(weight), level == one) for one, weight in enumerate(weights)]
    images = np.tile(study.clusters[asked], len(levels))
    return contribution(scores, images, cells, [run.data_seed for run in levels[0]])


if __name__ == "__main__":
    main(*sys.argv[1:])
