"""What the search for a learning rate and a warm-up found, trial by trial, for every bridge."""

import math
from collections import Counter

from bridgelab.report.summary import label
from bridgelab.report.table import NONE, Cell, Measured, Table
from bridgelab.runs.study import Study

Point = tuple[float, float]  # learning rate, warm-up


def lr_search_table(study: Study) -> Table | None:
    """One row a bridge, one column a trial, with its validation loss; None where nothing was searched for.

    Learning rates with the usual warm-up come first; the others were tried at the best of these. Under a trial's loss stands that of
    half of its steps, where it was taken, and 'chosen' under those that were: where half of the steps would have chosen alike, the
    choice may be extrapolated to more. A dash is a trial that the rule did not ask for, beyond an end of the grid where the best rate
    was inside.
    """
    trials: dict[str, dict[Point, float]] = {}
    halves: dict[str, dict[Point, float]] = {}
    for bridge in study.bridges:
        found = study.of(bridge)[0].record.get("tuning") or {}
        if found.get("trials"):
            trials[bridge] = {_point(name): loss for name, loss in found["trials"].items()}
            halves[bridge] = {_point(name): loss for name, loss in (found.get("at_half") or {}).items()}
    if not trials:
        return None
    usual = Counter(warmup for found in trials.values() for _, warmup in found).most_common(1)[0][0]
    rates = sorted({lr for found in trials.values() for lr, warmup in found if warmup == usual})
    others = sorted({warmup for found in trials.values() for _, warmup in found} - {usual})
    rows = []
    for bridge, found in trials.items():
        best = min(found, key=lambda point: found[point])
        half = halves[bridge]
        best_half = min(half, key=lambda point: half[point], default=None)
        points = [(lr, usual) for lr in rates]
        points += [
            next((point for point in found if point[1] == other), (math.nan, other)) for other in others
        ]
        cells = [
            Cell(f"{found[point]:.3f}", _below(point, best, half, best_half), Measured(found[point]))
            if point in found
            else Cell(NONE)
            for point in points
        ]
        rows.append(("search", (Cell(label(bridge)), *cells)))
    heads = [f"lr {lr:g}, warm-up {usual:g}" for lr in rates]
    heads += [f"at the best, warm-up {other:g}" for other in others]
    of_half = "; below it, that of half of its steps" * any(halves.values())
    return Table(f"Validation loss of each trial of the search{of_half}", ("bridge", *heads), tuple(rows))


def _below(point: Point, best: Point, half: dict[Point, float], best_half: Point | None) -> str:
    parts = ["chosen"] if point == best else []
    if point in half:
        parts.append(f"half: {half[point]:.3f}" + (", chosen" if point == best_half else ""))
    return "; ".join(parts)


def _point(name: str) -> Point:
    """'lr=0.01,warmup=0.05' as its two numbers."""
    lr, warmup = (float(part.split("=")[1]) for part in name.split(","))
    return lr, warmup
