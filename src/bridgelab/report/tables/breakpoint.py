"""Breakpoints as a table and in sentences: where a difference between bridges passes δ as questions get harder."""

import math
from collections.abc import Sequence

from bridgelab.report.table import Cell, Quantity, Table, format_number, format_signed
from bridgelab.statistics.breakpoint import Breakpoint, Crossing
from bridgelab.statistics.outcome import ALPHA, AT_BUDGET


def breakpoint_table(breakpoints: Sequence[Breakpoint], baseline: str) -> Table:
    """Return one row per comparator and one column per tag: the slope of the difference, and where it passes δ."""
    tags = list(dict.fromkeys(one.tag for one in breakpoints))
    by_name = {(one.comparator, one.tag): one for one in breakpoints}
    rows = tuple(
        ("breakpoint", (Cell(f"{baseline} − {name}"), *(_cell(by_name[name, tag]) for tag in tags)))
        for name in dict.fromkeys(one.comparator for one in breakpoints)
    )
    return Table(
        f"How {baseline}'s difference changes as questions get harder: points a step; intervals adjusted as the tests are (Holm)",
        ("difference", *(f"a step of {tag.replace('_', ' ')}" for tag in tags)),
        rows,
    )


def breakpoint_sentences(breakpoints: Sequence[Breakpoint], baseline: str, delta: float) -> list[str]:
    """Return a sentence per comparator on what changes with difficulty, and one on how it was computed."""
    sentences = []
    for name in dict.fromkeys(one.comparator for one in breakpoints):
        of_name = [one for one in breakpoints if one.comparator == name]
        if len({one.reason for one in of_name}) == 1 and of_name[0].reason:
            continue  # the verdict gives this reason already
        parts = [_change(one, baseline) for one in of_name if one.crossings]
        if unchanged := ", ".join(one.tag.replace("_", " ") for one in of_name if not one.crossings):
            parts.append(f"no change with {unchanged} is shown")
        at_budget = f" ({AT_BUDGET})" if of_name[0].at_budget else ""
        sentences.append(f"With difficulty, {baseline} against {name}{at_budget}: {'; '.join(parts)}.")
    if sentences:
        sentences.append(
            "Changes with difficulty are slopes of a line through the difference over the levels of a tag. A change is shown if its slope "
            f"differs from 0 at {100 * ALPHA:g} %, corrected over all {len(breakpoints)} slopes (Holm); the slopes' intervals are adjusted "
            f"in the same way. The place where the line passes ±{100 * delta:g} points has a 95 % interval, open where it leaves the "
            "levels that were asked."
        )
    return sentences


def _cell(one: Breakpoint) -> Cell:
    low, high = (100 * float(end) for end in one.slope.interval(one.level))
    known = not math.isnan(low)
    interval = f"{format_number(low, 2)} to {format_number(high, 2)}" if known else ""
    passes = f", passes {_passes(one)}" if one.crossings else ""
    value = 100 * float(one.slope.value)
    quantity = Quantity(value, low, high, one.level if known else math.nan, "points")
    return Cell(format_signed(value, 2), interval + passes, quantity)


def _change(one: Breakpoint, baseline: str) -> str:
    low, high = (100 * float(end) for end in one.slope.interval(one.level))
    slope = format_number(abs(100 * float(one.slope.value)), 2)
    return (
        f"{baseline} {'loses' if one.baseline_worsens else 'gains'} {slope} points with each step of "
        f"{one.tag.replace('_', ' ')} ({format_number(low, 2)} to {format_number(high, 2)}), and passes {_passes(one)}"
    )


def _passes(one: Breakpoint) -> str:
    assert one.crossings is not None
    return " and ".join(
        f"{'−' if crossing.bound < 0 else '+'}{100 * abs(crossing.bound):g} points {_place(crossing, one.span)}"
        for crossing in one.crossings
    )


def _place(crossing: Crossing, span: tuple[float, float]) -> str:
    """Return where a difference passes δ: 'at 5.2 (4.1 to 6.3)', with ends left open beyond the levels that were asked."""
    at, low, high = crossing.at, crossing.low, crossing.high
    first, last = span
    if at == -math.inf:
        return f"before {first:g}" + ("" if high == at else f" (perhaps at up to {_level(high, last)})")
    if at == math.inf:
        return f"beyond {last:g}" + ("" if low == at else f" (perhaps from {_level(low, first)} on)")
    begins = f"before {first:g}" if low == -math.inf else f"{low:.1f}"
    ends = f"beyond {last:g}" if high == math.inf else f"{high:.1f}"
    return f"at {at:.1f} ({begins} to {ends})"


def _level(value: float, end: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else f"{'beyond' if value > 0 else 'before'} {end:g}"
