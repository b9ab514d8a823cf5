"""Breakpoints as a table and in sentences."""

import math
from collections.abc import Sequence

from bridgelab.report.table import Cell, Measured, Table, number, signed
from bridgelab.statistics.breakpoint import Breakpoint, Crossing
from bridgelab.statistics.verdict import ALPHA, AT_BUDGET


def breakpoint_table(found: Sequence[Breakpoint], baseline: str) -> Table:
    """One row a comparator, one column a tag: the change of the difference a step, with its adjusted interval and where it passes δ."""
    tags = list(dict.fromkeys(one.tag for one in found))
    of = {(one.comparator, one.tag): one for one in found}
    rows = tuple(
        ("breakpoint", (Cell(f"{baseline} − {name}"), *(_cell(of[name, tag]) for tag in tags)))
        for name in dict.fromkeys(one.comparator for one in found)
    )
    heads = ("difference", *(f"a step of {tag.replace('_', ' ')}" for tag in tags))
    return Table(
        f"How {baseline}'s difference changes as questions get harder: points a step; intervals adjusted as the tests are (Holm)",
        heads,
        rows,
    )


def breakpoint_sentences(found: Sequence[Breakpoint], baseline: str, delta: float) -> list[str]:
    """What changes with difficulty, a sentence a comparator, and how it was found."""
    said = []
    for name in dict.fromkeys(one.comparator for one in found):
        own = [one for one in found if one.comparator == name]
        if len({one.reason for one in own}) == 1 and own[0].reason:
            continue  # the verdict has said so
        changing = [_told(one, baseline) for one in own if one.crossings]
        still = ", ".join(one.tag.replace("_", " ") for one in own if not one.crossings)
        parts = changing + ([f"no change with {still} is told from 0"] if still else [])
        when = f" ({AT_BUDGET})" if own[0].at_budget else ""
        said.append(f"With difficulty, {baseline} against {name}{when}: {'; '.join(parts)}.")
    if said:
        said.append(
            f"A line through the difference over the levels of a tag; told from 0 at {100 * ALPHA:g} % over all "
            f"{len(found)} slopes (Holm), which the slope's interval, adjusted likewise, shows; its passing of "
            f"±{100 * delta:g} points with its "
            "95 % interval, open where that leaves the levels that were asked about."
        )
    return said


def _cell(one: Breakpoint) -> Cell:
    low, high = (100 * float(end) for end in one.slope.interval(one.level))
    known = f"{number(low, 2)} to {number(high, 2)}" if low == low else ""
    where = f", passes {_where(one)}" if one.crossings else ""
    value = 100 * float(one.slope.value)
    level = one.level if low == low else math.nan
    return Cell(signed(value, 2), known + where, Measured(value, low, high, level, "points"))


def _told(one: Breakpoint, baseline: str) -> str:
    low, high = (100 * float(end) for end in one.slope.interval(one.level))
    return (
        f"{baseline} {'loses' if one.baseline_worsens else 'gains'} {number(abs(100 * float(one.slope.value)), 2)} points with each step "
        f"of {one.tag.replace('_', ' ')} ({number(low, 2)} to {number(high, 2)}), and passes {_where(one)}"
    )


def _where(one: Breakpoint) -> str:
    assert one.crossings is not None
    return " and ".join(
        f"{'−' if crossing.bound < 0 else '+'}{100 * abs(crossing.bound):g} points {_place(crossing, one.span)}"
        for crossing in one.crossings
    )


def _place(crossing: Crossing, span: tuple[float, float]) -> str:
    """Where, with its interval: 'at 5.2 (4.1 to 6.3)'; open ends where it may lie outside of the levels seen."""
    at, low, high = crossing.at, crossing.low, crossing.high
    first, last = span
    if at == -math.inf:
        return f"before {first:g}" + ("" if high == at else f" (perhaps at up to {_level(high, last)})")
    if at == math.inf:
        return f"beyond {last:g}" + ("" if low == at else f" (perhaps from {_level(low, first)} on)")
    begins = f"before {first:g}" if low == -math.inf else f"{low:.1f}"
    return f"at {at:.1f} ({begins} to {f'beyond {last:g}' if high == math.inf else f'{high:.1f}'})"


def _level(value: float, end: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else f"{'beyond' if value > 0 else 'before'} {end:g}"
