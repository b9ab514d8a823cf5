"""The search for a learning rate and a warm-up for every bridge: trial by trial, or by whole runs of a study that sweeps the rate."""

import math
from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from bridgelab.report.row import label
from bridgelab.report.table import NONE, Cell, Quantity, Table
from bridgelab.runs.rate_choice import RateChoice
from bridgelab.runs.study import Study

Point = tuple[float, float]  # learning rate, warm-up
Losses = dict[Point, float]


def lr_search_table(study: Study) -> Table | None:
    """Return one row per bridge and one column per trial, with its validation loss; None if nothing was searched for.

    Learning rates with the usual warm-up come first. Other warm-ups were tried at the best of these rates. Below a trial's loss
    stands its loss after half of its steps, if recorded, and 'chosen' marks the best of each: if half of the steps choose the same
    point, the choice may extend to longer training. A dash is a trial that the search did not need: beyond an end of the grid when
    the best rate was inside, or, if only finalists took all steps, one that was none.
    """
    searches = {bridge: study.of(bridge)[0].record.get("tuning") or {} for bridge in study.bridges}
    trials = {bridge: losses for bridge, search in searches.items() if (losses := _losses(search, "trials"))}
    if not trials:
        return None
    halves = {bridge: _losses(searches[bridge], "at_half") for bridge in trials}
    points_of = {bridge: sorted({*losses, *halves[bridge]}) for bridge, losses in trials.items()}
    usual = Counter(warmup for points in points_of.values() for _, warmup in points).most_common(1)[0][0]
    rates = sorted({lr for points in points_of.values() for lr, warmup in points if warmup == usual})
    others = sorted({warmup for points in points_of.values() for _, warmup in points} - {usual})
    rows = []
    for bridge, losses in trials.items():
        points = [(lr, usual) for lr in rates]
        for other in others:
            points.append(
                next((point for point in points_of[bridge] if point[1] == other), (math.nan, other))
            )
        cells = (_cell(point, losses, halves[bridge]) for point in points)
        rows.append(("search", (Cell(label(bridge)), *cells)))
    columns = [f"lr {lr:g}, warm-up {usual:g}" for lr in rates]
    columns += [f"at the best, warm-up {other:g}" for other in others]
    suffix = "; below it, that of half of its steps" if any(halves.values()) else ""
    return Table(f"Validation loss of each trial of the search{suffix}", ("bridge", *columns), tuple(rows))


def rate_choice_table(study: Study) -> Table | None:
    """Return one row per bridge and one column per rate that the study sweeps, with the mean validation accuracy of its seeds.

    Below it stand the seeds' own accuracies, and 'chosen' marks the rate whose runs the other tables show. None if the study sweeps no
    rate.
    """
    if not study.rates:
        return None
    rates = sorted({rate for choice in study.rates for rate in choice.accuracies}, key=float)
    rows = [
        ("search", (Cell(label(choice.row)), *(_rate_cell(choice, rate) for rate in rates)))
        for choice in study.rates
    ]
    return Table(
        f"Validation {study.runs[0].curve_of} at the end of training, mean of the seeds, by learning rate (%)",
        ("bridge", *(f"lr {float(rate):g}" for rate in rates)),
        tuple(rows),
    )


def _rate_cell(choice: RateChoice, rate: str) -> Cell:
    accuracies = choice.accuracies.get(rate)
    if not accuracies:
        return Cell(NONE)
    mean = 100 * fmean(accuracies)
    seeds = f"seeds: {', '.join(f'{100 * one:.1f}' for one in accuracies)}"
    return Cell(
        f"{mean:.1f}", f"chosen; {seeds}" if rate == choice.chosen else seeds, Quantity(mean, unit="%")
    )


def _losses(search: Mapping[str, Any], key: str) -> Losses:
    """Return the losses of a record's trials, by learning rate and warm-up: 'lr=0.01,warmup=0.05' is (0.01, 0.05)."""
    losses = {}
    for name, loss in (search.get(key) or {}).items():
        lr, warmup = (float(part.split("=")[1]) for part in name.split(","))
        losses[lr, warmup] = loss
    return losses


def _cell(point: Point, losses: Losses, half: Losses) -> Cell:
    if point not in losses and point not in half:
        return Cell(NONE)
    below = ["chosen"] if point == min(losses, key=losses.__getitem__) else []
    if point in half:
        chosen = ", chosen" if point == min(half, key=half.__getitem__) else ""
        below.append(f"half: {half[point]:.3f}{chosen}")
    if point not in losses:  # no finalist
        return Cell(NONE, "; ".join(below))
    return Cell(f"{losses[point]:.3f}", "; ".join(below), Quantity(losses[point]))
