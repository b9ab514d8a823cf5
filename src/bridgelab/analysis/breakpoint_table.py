"""Breakpoints as a table and in sentences."""

import math
from collections.abc import Sequence

from bridgelab.analysis.breakpoint import Breakpoint
from bridgelab.analysis.table import Cell, Grid, Measured, number
from bridgelab.analysis.verdict import ALPHA


def breakpoint_grid(found: Sequence[Breakpoint], baseline: str) -> Grid:
    """One row a comparator, one column a tag: the change of the difference a step, with its 95 % interval and where it passes δ."""
    tags = list(dict.fromkeys(one.tag for one in found))
    of = {(one.comparator, one.tag): one for one in found}
    rows = tuple(
        ("breakpoint", (Cell(f"{baseline} − {name}"), *(_cell(of[name, tag]) for tag in tags)))
        for name in dict.fromkeys(one.comparator for one in found)
    )
    heads = ("difference", *(f"a step of {tag.replace('_', ' ')}" for tag in tags))
    return Grid(
        f"How {baseline}'s difference changes as questions get harder: points a step, 95 % intervals",
        heads,
        rows,
    )


def breakpoint_sentences(found: Sequence[Breakpoint], baseline: str, delta: float) -> list[str]:
    """What changes with difficulty, a sentence a comparator, and how it was found."""
    said = []
    for name in dict.fromkeys(one.comparator for one in found):
        own = [one for one in found if one.comparator == name]
        if len({one.why for one in own}) == 1 and own[0].why:
            continue  # the verdict has said so
        changing = [_told(one, baseline, delta) for one in own if one.passes]
        still = ", ".join(one.tag.replace("_", " ") for one in own if not one.passes)
        parts = changing + ([f"no change with {still} is told from 0"] if still else [])
        said.append(f"With difficulty, {baseline} against {name}: {'; '.join(parts)}.")
    if said:
        said.append(
            f"A line through the difference over the levels of a tag; told from 0 at {100 * ALPHA:g} % over all "
            f"{len(found)} slopes (Holm), its passing of ±{100 * delta:g} points with its 95 % interval."
        )
    return said


def _cell(one: Breakpoint) -> Cell:
    low, high = (100 * float(end) for end in one.slope.interval())
    known = f"{number(low, 2)} to {number(high, 2)}" if low == low else ""
    where = f", passes δ {_place(one)}" if one.passes else ""
    value = 100 * float(one.slope.value)
    return Cell(
        _signed(value), known + where, Measured(value, low, high, 0.95 if low == low else math.nan, "points")
    )


def _told(one: Breakpoint, baseline: str, delta: float) -> str:
    low, high = (100 * float(end) for end in one.slope.interval())
    return (
        f"{baseline} {'loses' if one.below else 'gains'} {number(abs(100 * float(one.slope.value)), 2)} points with each step of "
        f"{one.tag.replace('_', ' ')} ({number(low, 2)} to {number(high, 2)}), and passes "
        f"{'−' if one.below else '+'}{100 * delta:g} points {_place(one)}"
    )


def _place(one: Breakpoint) -> str:
    """Where, with its interval: 'at 5.2 (4.1 to 6.3)'; open ends where it may lie outside of the levels seen."""
    assert one.passes is not None
    at, begins, sure = one.passes
    first, last = one.span
    if math.isnan(at):
        return f"beyond {last:g}" if math.isnan(begins) else f"beyond {last:g} (perhaps from {begins:.1f} on)"
    if at == first and sure == first:
        return f"before {first:g}"
    return f"at {at:.1f} ({begins:.1f} to {'beyond ' + format(last, 'g') if math.isnan(sure) else format(sure, '.1f')})"


def _signed(value: float) -> str:
    text = number(value, 2)
    return text if text.startswith("−") else f"+{text}"
