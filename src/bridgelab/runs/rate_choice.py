"""The learning rate of each row of a study that sweeps it, chosen by validation accuracy.

A search with one seed a trial (`tune`) chooses by chance where seeds of one rate differ by more than rates do. A study that sweeps
`train.lr` trains every seed with every rate to the end instead. Each row is then its runs at one rate: the one with the highest mean
validation accuracy at the end of training. Test scores play no part in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bridgelab.runs.run import Run

KEY = "train.lr"


@dataclass(frozen=True)
class RateChoice:
    """The rates of one row of a study.

    Args:
        row: its name, without the rate.
        accuracies: validation accuracy at the end of training by rate, one number a seed, in the order of the runs.
        chosen: the rate that its runs in the tables have.
    """

    row: str
    accuracies: Mapping[str, tuple[float, ...]]
    chosen: str


def choose_rates(runs: Sequence[Run]) -> tuple[list[Run], tuple[RateChoice, ...]]:
    """Return the runs at each row's chosen rate, and what was chosen.

    A row's rates are compared if they have equally many seeds: one with fewer seeds than another cannot be chosen. Rows without a
    swept rate (or with null), such as those that train nothing, stay as they are. The runs that are returned have no level of `train.lr`.

    Args:
        runs: all runs of a study that sweeps `train.lr`, in the order of its tables.
    Raises:
        ValueError: if a row has runs with a given rate and others without, or a record has no validation accuracy to choose by.
    """
    by_row: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        rate = run.levels.get(KEY, "")
        if rate.lower() == "null":  # such a run searches its rate; Hydra takes the word in any case
            rate = ""
        levels = {name: level for name, level in run.levels.items() if name != KEY}
        plain = replace(run, levels=levels)
        by_row.setdefault(plain.row, {}).setdefault(rate, []).append(plain)
    for row, of_row in by_row.items():
        if "" in of_row and len(of_row) > 1:
            raise ValueError(
                f"{of_row[''][0].name} has no {KEY}, but other runs of {row} have: a row's rate is either searched in each run or swept by "
                "the study. Move one of the two to a study of its own."
            )
    chosen = {row: _best(of_row) for row, of_row in by_row.items()}
    kept = [run for row, of_row in by_row.items() for run in of_row[chosen[row]]]
    return kept, tuple(_choices(by_row, chosen))


def _choices(
    by_row: Mapping[str, Mapping[str, Sequence[Run]]], chosen: Mapping[str, str]
) -> Iterator[RateChoice]:
    for row, of_row in by_row.items():
        accuracies = {
            rate: tuple(map(_accuracy, of_row[rate])) for rate in sorted(filter(None, of_row), key=float)
        }
        if accuracies:
            yield RateChoice(row, accuracies, chosen[row])


def _best(of_row: Mapping[str, Sequence[Run]]) -> str:
    """Return the rate with the most seeds, among these that with the highest mean, among these the lowest rate."""
    if len(of_row) == 1:
        return next(iter(of_row))
    return min(
        of_row, key=lambda rate: (-len(of_row[rate]), -fmean(map(_accuracy, of_row[rate])), float(rate))
    )


def _accuracy(run: Run) -> float:
    """Return a run's last validation accuracy."""
    curve = run.record.get("curve")
    if not curve:
        raise ValueError(
            f"{run.name}: the record has no validation accuracy, by which {KEY} is chosen. Delete the folder and run it again with "
            "train.val_points of at least 1."
        )
    return float(curve[-1][1])
