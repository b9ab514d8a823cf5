"""Print how linear's difference to each other bridge changes with each doubling of the patches, and what that says of the prediction.

python experiments/patch_slopes.py runs/patches

The slope is that of the least-squares line through the differences over log2 of the number of patches, over all questions of test. It is
a weighted sum of accuracies, so it has the variance of any other difference (`bridgelab.statistics.contrast`): each seed of a bridge
gives one slope, seeds of two bridges count as independent, and images are drawn together. Tests are two-sided, and the slopes of a study
are one family (Holm). The last table has the same slope of validation accuracy after each number of steps, without intervals.
"""

import sys
from pathlib import Path

import numpy as np

from bridgelab.runs.run import Run
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.contrast import Contribution, contrast, contribution
from bridgelab.statistics.convergence import convergence_from_records, not_converged
from bridgelab.statistics.outcome import BREAKS, Finding, judge

DELTA = 0.02  # of accuracy: the least slope that matters, as declared
Levels = dict[
    str, list[tuple[Run, ...]]
]  # of each bridge: its runs at each number of patches, fewest patches first


def main(folder: str) -> None:
    """Print accuracies, differences with their slopes, what these say, and slopes of validation accuracy."""
    study = read_study(Path(folder))
    levels, patches = levels_of(study)
    heads = " | ".join(f"{count} patches" for count in patches)
    print(f"| accuracy on test, % | {heads} |")
    print("| --- |" + " ---: |" * len(patches))
    for bridge, rows in levels.items():
        print(f"| {bridge} | {' | '.join(f'{100 * np.mean(_accuracy(runs)):.1f}' for runs in rows)} |")
    print(f"\n| difference on test, points | {heads} | slope: points a doubling | adjusted (Holm) | 90 % |")
    print("| --- |" + " ---: |" * (len(patches) + 3))
    for bridge, finding in slopes(study).items():
        differences = (
            _signed(np.mean(_accuracy(one)) - np.mean(_accuracy(other)))
            for one, other in zip(levels["linear"], levels[bridge], strict=True)
        )
        ends = (_interval(finding.holm_interval), _interval(finding.equivalence_interval))
        cells = [*differences, _signed(float(finding.contrast.value)), *ends]
        print(f"| linear − {bridge} | {' | '.join(cells)} |")
    print()
    for bridge, finding in slopes(study).items():
        print(f"- linear − {bridge} falls by 2 points or more with each doubling: {judged(finding)}")
    print(f"\n| difference in validation, points | steps | {heads} | points a doubling |")
    print("| --- | ---: |" + " ---: |" * (len(patches) + 1))
    for bridge in levels:
        if bridge != "linear":
            for steps, differences, slope in by_budget(levels, patches, bridge):
                cells = [f"{steps:,}", *map(_signed, differences), _signed(slope)]
                print(f"| linear − {bridge} | {' | '.join(cells)} |")


def judged(finding: Finding) -> str:
    """Return what a slope says of the prediction that it is above −2 points a doubling."""
    low, _ = finding.equivalence_interval
    found = "shown" if finding.outcome == BREAKS else "refuted" if low > -DELTA else "cannot tell"
    return f"{found} at this budget" if finding.at_budget else found


def levels_of(study: Study) -> tuple[Levels, list[int]]:
    """Return the runs of each bridge at each number of patches, and these numbers.

    Raises:
        ValueError: if a bridge lacks runs that linear has, as then neither the slope nor its family is the declared one.
    """
    levels: Levels = {}
    for row in study.bridges:
        levels.setdefault(study.of(row)[0].bridge, []).append(study.of(row))
    # Linear outputs one token for each patch.
    of_weights = {_weights(runs): runs[0].record["costs"]["visual_tokens"] for runs in levels["linear"]}
    for bridge, rows in levels.items():
        rows.sort(key=lambda runs: of_weights[_weights(runs)])
        if sum(map(len, rows)) < sum(map(len, levels["linear"])):
            raise ValueError(f"{bridge} has fewer runs than linear: finish the study first.")
    if study.missing or len(levels) < 3:
        raise ValueError(
            "runs are missing: the family of slopes is declared for linear beside both query bridges."
        )
    return levels, sorted(of_weights.values())


def slopes(study: Study) -> dict[str, Finding]:
    """Return the slope of linear's difference to each other bridge, in accuracy for each doubling of the patches."""
    levels, patches = levels_of(study)
    of = {bridge: _slope(study, runs, patches) for bridge, runs in levels.items()}
    others = {bridge: contrast(of["linear"], slope) for bridge, slope in of.items() if bridge != "linear"}
    trained = not_converged(study, study.bridges)
    begun = {study.of(row)[0].bridge for row in trained}
    at_budget = others if "linear" in begun else set(others) & begun
    return judge(others, delta=DELTA, at_budget=at_budget)


def by_budget(levels: Levels, patches: list[int], bridge: str) -> list[tuple[int, np.ndarray, float]]:
    """Return for each budget its steps, linear's difference at each number of patches, and the slope of these."""
    means = {}
    for name in ("linear", bridge):
        at = [convergence_from_records([run.record for run in runs], DELTA) for runs in levels[name]]
        means[name] = np.stack([one.accuracy.mean(axis=0) for one in at], axis=1)  # [budget, patches]
    differences = means["linear"] - means[bridge]
    return list(zip(at[0].steps, differences, differences @ weights(patches), strict=True))


def weights(patches: list[int]) -> np.ndarray:
    """Return what each level counts in the slope of a least-squares line over log2 of the number of patches [level]."""
    doublings = np.log2(patches) - np.log2(patches).mean()
    return doublings / np.square(doublings).sum()


def _slope(study: Study, levels: list[tuple[Run, ...]], patches: list[int]) -> Contribution:
    """Return one bridge's slope, of the runs of each seed."""
    asked = study.questions.index
    level = np.repeat(np.arange(len(levels)), len(asked))
    scores = [np.stack([run.scores["image"][asked] for run in runs]) for runs in levels]
    cells = [(float(weight), level == one) for one, weight in enumerate(weights(patches))]
    images = np.tile(study.clusters[asked], len(levels))
    return contribution(np.concatenate(scores, axis=1), images, cells, [run.data_seed for run in levels[0]])


def _weights(runs: tuple[Run, ...]) -> str:
    return runs[0].levels["vision.weights"]


def _accuracy(runs: tuple[Run, ...]) -> list[float]:
    return [run.record["metrics"]["test/accuracy"] for run in runs]


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _interval(ends: tuple[float, float]) -> str:
    return " to ".join(f"{100 * end:.1f}" for end in ends).replace("-", "−")


if __name__ == "__main__":
    main(*sys.argv[1:])
