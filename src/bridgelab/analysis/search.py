"""What the search for a learning rate and a warm-up found, trial by trial, for every bridge."""

from bridgelab.analysis.records import Study
from bridgelab.analysis.summary import label
from bridgelab.analysis.table import NONE, Cell, Grid


def by_trial(study: Study) -> Grid | None:
    """One row a bridge, one column a trial, with its validation loss; None where nothing was searched for.

    Under the loss of the trial that was chosen stands 'chosen'. A dash is a trial that the rule did not ask for: beyond an
    end of the grid where the best rate was inside, or a warm-up at another rate.
    """
    trials: dict[str, dict[str, float]] = {}
    for bridge in study.bridges:
        found = study.of(bridge)[0].record.get("tuning") or {}
        if found.get("trials"):
            trials[bridge] = found["trials"]
    if not trials:
        return None
    points = sorted({point for found in trials.values() for point in found}, key=_place)
    rows = []
    for bridge, found in trials.items():
        best = min(found, key=lambda point: found[point])
        cells = [
            Cell(f"{found[point]:.3f}", "chosen" if point == best else "") if point in found else Cell(NONE)
            for point in points
        ]
        rows.append(("search", (Cell(label(bridge)), *cells)))
    heads = tuple(point.replace("=", " ").replace(",", ", ").replace("warmup", "warm-up") for point in points)
    return Grid("Validation loss of each trial of the search", ("bridge", *heads), tuple(rows))


def _place(point: str) -> tuple[float, ...]:
    """'lr=0.01,warmup=0.05' by its numbers."""
    return tuple(float(part.split("=")[1]) for part in point.split(","))
