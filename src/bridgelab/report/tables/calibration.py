"""The tables of `bridgelab calibrate`: error rates, kept promises and A/A splits."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from bridgelab.report.formats.terminal import plain_table
from bridgelab.statistics.calibration.aa import SplitResults
from bridgelab.statistics.calibration.error_rates import IN_USE, METHODS, Case, Rates
from bridgelab.statistics.calibration.promised_power import PromisedPower
from bridgelab.statistics.calibration.promised_seeds import PromisedSeeds
from bridgelab.statistics.calibration.simulation import CELLS, UNCONTROLLED
from bridgelab.statistics.outcome import DELTA, SEEDS
from bridgelab.statistics.power.smallest_difference import POWER

ERROR_RATES = (
    "studies of", "seeds", "true difference", "breaks or leads, %", "holds, %", "interval holds the truth, %", "half width",
    "a seed apart, %",
)  # fmt: skip
PROMISED_POWER = (
    "studies of",
    "seeds",
    "promised to be found, points",
    "found, %",
    "± simulation, points",
    "power by one pilot: 10–90 % of pilots, %",
    "in its range, %",
)
PROMISED_SEEDS = (
    "studies of",
    "true difference",
    "cells told how many seeds",
    "settled by so many, %",
    "± simulation, points",
)
SPLITS = (
    "bridge",
    "seeds",
    "splits",
    "with a cell that breaks or leads",
    "cells that hold, %",
    "interval holds 0, %",
    "largest difference, points",
)


def error_rate_tables(results: Sequence[tuple[Case, Mapping[str, Rates]]], studies: int) -> list[Table]:
    """Return one table per method, and one for the scenarios in which no method keeps its rate.

    Args:
        results: each case with the rates of every method.
        studies: number of simulated studies per row.
    """
    size = f"{studies:,} studies of {CELLS} cells a comparator in each row, δ = {100 * DELTA:g} points"
    controlled = [(case, rates) for case, rates in results if case.scenario not in UNCONTROLLED]
    uncontrolled = [(case, rates) for case, rates in results if case.scenario in UNCONTROLLED]
    return [
        *(_rates_table(f"{method}: {size}", method, controlled) for method in METHODS),
        _rates_table(f"promises that can't be kept, by the method in use: {size}", IN_USE, uncontrolled),
    ]


def _rates_table(title: str, method: str, results: Sequence[tuple[Case, Mapping[str, Rates]]]) -> Table:
    rows = []
    for case, by_method in results:
        rates = by_method[method]
        rows.append(
            (
                case.scenario.name,
                str(case.seeds),
                f"{100 * case.difference:+g}",
                f"{100 * rates.differs:.1f}",
                f"{100 * rates.holds:.1f}",
                f"{100 * rates.covers:.1f}",
                f"{100 * rates.half_width:.1f}",
                f"{100 * rates.outlying:.1f}",
            )
        )
    return plain_table(title, ERROR_RATES, rows)


def promised_power_table(results: Sequence[tuple[str, int, PromisedPower]], studies: int) -> Table:
    """Return the table of what a plan promises to find.

    Args:
        results: (name of the scenario, seeds, result).
        studies: number of simulated studies per row.
    """
    title = (
        f"what a plan promises to find in {100 * POWER:g} % of studies: {studies:,} studies of {CELLS} cells a row, one of "
        f"which differs, δ = {100 * DELTA:g} points"
    )
    rows = [
        (
            name,
            str(seeds),
            f"{100 * result.smallest:.1f}",
            f"{100 * result.detected:.1f}",
            f"{100 * result.error:.1f}",
            "–".join(f"{100 * power:.0f}" for power in result.single),
            f"{100 * result.in_range:.0f}",
        )
        for name, seeds, result in results
    ]
    return plain_table(title, PROMISED_POWER, rows)


def promised_seeds_table(results: Sequence[tuple[str, float, PromisedSeeds]]) -> Table:
    """Return the table of how often the advised number of seeds settles a cell.

    Args:
        results: (name of the scenario, true difference, result).
    """
    title = (
        f"'n seeds would settle it', said to be so in {100 * POWER:g} % of studies were the pilot the truth"
    )
    rows = [
        (
            name,
            f"{100 * difference:+g}",
            str(result.cells),
            f"{100 * result.settled:.0f}",
            f"{100 * result.error:.0f}",
        )
        for name, difference, result in results
    ]
    return plain_table(title, PROMISED_SEEDS, rows)


def splits_table(study: str, delta: float, results: Mapping[str, SplitResults]) -> Table:
    """Return the table of A/A splits, one row per bridge."""
    rows = [
        (
            name,
            str(result.seeds) if result.counted == SEEDS else f"{result.seeds} {result.counted}",
            str(result.splits),
            str(result.alarms),
            f"{100 * result.holds:.0f}",
            f"{100 * result.covers:.0f}",
            f"{100 * result.largest:.1f}",
        )
        for name, result in results.items()
    ]
    return plain_table(f"{study}: the same bridge under two names, δ = {100 * delta:g} points", SPLITS, rows)
