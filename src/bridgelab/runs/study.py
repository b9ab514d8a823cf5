"""Read the runs of a study, list those that are missing, and refuse those that can't be compared.

A run is a folder `runs/<study>/<overrides>/` with `predictions.parquet`, one row per example, and `metrics.json`, which is
written last. A folder without `metrics.json` is an unfinished run.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.printable import printable
from bridgelab.runs.answer_frame import answer_frame
from bridgelab.runs.comparability import SHARED, check_comparable, configured
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.log import status
from bridgelab.runs.predictions import FILE, IMAGE_VIEW, Answers, answered, clusters
from bridgelab.runs.rate_choice import KEY as RATE
from bridgelab.runs.rate_choice import RateChoice, choose_rates
from bridgelab.runs.record_schema import Malformed, read_record
from bridgelab.runs.repeat_command import command
from bridgelab.runs.run import Run
from bridgelab.runs.run_name import cell
from bridgelab.runs.short_levels import with_short_levels
from bridgelab.runs.sweep import factors, is_of_bridge, swept

REQUIRED = (*(name for name in SHARED if name != "precision"), "bridge", "seed", "costs", "metrics")


@dataclass(frozen=True)
class Missing:
    """A cell of the sweep without a finished run, and the reason."""

    name: str
    reason: str
    malformed: bool = False  # there is a record, but it can't be read

    def __str__(self) -> str:
        return printable(f"{self.name}: {self.reason}")


@dataclass(frozen=True)
class Study:
    """All finished runs of a study in the order of its sweep, and the cells that are missing.

    Args:
        name: of its folder.
        path: of its folder, as given.
        runs: the finished runs, with their scores.
        missing: the cells without a finished run.
        examples: the examples that all runs answered, one row each with its tags, sorted by kind and id, as the first run
            recorded them.
        allowed: one line for each key in which runs differ because the reader allowed it.
        allow: the keys in which the reader allowed runs to differ.
        rates: what was chosen for each row if the study sweeps the learning rate; `runs` are those at the chosen rates.
    """

    name: str
    path: Path
    runs: tuple[Run, ...]
    missing: tuple[Missing, ...]
    examples: pd.DataFrame
    allowed: tuple[str, ...] = ()
    rates: tuple[RateChoice, ...] = ()
    allow: tuple[str, ...] = ()

    @cached_property
    def _rows(self) -> dict[str, tuple[Run, ...]]:
        rows: dict[str, list[Run]] = {}
        for run in self.runs:
            rows.setdefault(run.row, []).append(run)
        return {name: tuple(runs) for name, runs in rows.items()}

    @property
    def bridges(self) -> tuple[str, ...]:
        """The rows of its tables in the order of the sweep: bridges, with the levels of other factors."""
        return tuple(self._rows)

    def of(self, bridge: str) -> tuple[Run, ...]:
        """Return the runs of one of `bridges`."""
        return self._rows.get(bridge, ())

    def counterpart(self, row: str, bridge: str) -> str | None:
        """Return the row of another bridge with the same levels, as far as that bridge has any; None if there is none."""
        levels = self.of(row)[0].levels
        rows = [name for name, runs in self._rows.items() if runs[0].bridge == bridge]
        like = [
            name
            for name in rows
            if all(level in ("", levels.get(f, "")) for f, level in self.of(name)[0].levels.items())
        ]
        return max(like, key=lambda name: sum(map(bool, self.of(name)[0].levels.values())), default=None)

    def beside(self, name: str) -> Path:
        """Return the folder of another study in the same folder as this one, which may be '.'."""
        return Path(os.path.normpath(self.path / ".." / name))

    @cached_property
    def questions(self) -> pd.DataFrame:
        """The examples that are questions: all but captions."""
        return self.examples[self.examples["kind"] != "caption"]

    @cached_property
    def captions(self) -> pd.DataFrame:
        """The examples that are captions."""
        return self.examples[self.examples["kind"] == "caption"]

    @property
    def answers(self) -> pd.DataFrame:
        """All answers, one row per run, example and view; see `answer_frame`. They are read again each time, as they are large."""
        return answer_frame(self.runs)

    @cached_property
    def clusters(self) -> np.ndarray:
        """The cluster of each example, for all intervals and tests [example]; see `predictions.clusters`."""
        return clusters(self.examples)

    def scores(self, bridge: str, view: str = IMAGE_VIEW) -> np.ndarray:
        """Return the scores of a row's runs on the questions, between 0 and 1 [run, question]; nan for one that was not answered."""
        return np.stack([run.scores[view][self.questions.index] for run in self.of(bridge)])

    def has(self, bridge: str, view: str) -> bool:
        """Return whether all runs of a row answered all questions in a view."""
        return all(
            view in run.scores and not np.isnan(run.scores[view][self.questions.index]).any()
            for run in self.of(bridge)
        )


def read_study(study: str | Path, *, allow: Sequence[str] = (), every_key: bool = True) -> Study:
    """Read a study's folder, `runs/<study>`.

    Args:
        allow: keys in which runs may differ although the study does not sweep them, such as train.steps.
        every_key: whether to refuse a key of `allow` that no run has.
    Raises:
        FileNotFoundError: if the folder does not exist or holds no finished run.
        ValueError: if runs have two benchmarks with other examples, two runs belong to one cell, or runs can't be compared. Malformed
            runs are listed in `missing`.
    """
    study = Path(study)
    runs, unfinished = read_runs(study)
    sweep = swept(study)
    varied = factors(sweep, [run.overrides for run in runs], [run.bridge for run in runs])
    runs = [replace(run, levels={name: _level(run, name) for name in varied}) for run in runs]
    _check_benchmark(study, runs)
    _check_cells(runs)
    allowed = check_comparable(study, runs, varied, allow, every_key=every_key)
    orders = {name: sweep.get(name, []) for name in ("bridge", *varied)}
    runs.sort(key=lambda run: _place(run, orders))
    answers, runs, malformed = _with_scores(runs)
    if not runs:
        raise _no_runs(study, malformed)
    unfinished += malformed
    missing = (*unfinished, *_absent(runs, unfinished, sweep, varied))
    runs = with_short_levels(runs)  # after all that compares levels with the sweep's values
    rates: tuple[RateChoice, ...] = ()
    if RATE in varied:
        runs, rates = choose_rates(runs)
    # By its own name, also if it is '.'.
    return Study(
        Path(os.path.abspath(study)).name,
        study,
        tuple(runs),
        missing,
        answers.examples,
        tuple(allowed),
        rates,
        tuple(allow),
    )


def read_runs(study: Path) -> tuple[list[Run], list[Missing]]:
    """Return the finished runs of a study's folder, without scores, and those that are unfinished or malformed.

    Raises:
        FileNotFoundError: if the folder does not exist or holds no finished run.
    """
    if not study.is_dir():
        raise FileNotFoundError(
            f"{study} is not a folder. A study is read from runs/<study>: bridgelab train experiments=<study>"
        )
    runs: list[Run] = []
    unfinished: list[Missing] = []
    for path in sorted(child for child in study.iterdir() if _is_run(child)):
        run = _read_run(path)
        (runs if isinstance(run, Run) else unfinished).append(run)  # type: ignore[arg-type]
    if not runs:
        raise _no_runs(study, unfinished)
    return runs, unfinished


def _no_runs(study: Path, unfinished: Sequence[Missing]) -> FileNotFoundError:
    names = f": {'; '.join(map(str, unfinished[:5]))}" if unfinished else ""
    lines = command(study, [one.name for one in unfinished]).splitlines()
    again = (
        f"The same command does what is missing: {lines[0]}"
        if lines
        else "Train into it: bridgelab train study=NAME"
    )
    return FileNotFoundError(
        f"{study} holds 0 finished runs and {len(unfinished)} unfinished ones{names}. A run is finished when its metrics.json "
        f"stands. {again}"
    )


def _with_scores(runs: list[Run]) -> tuple[Answers, list[Run], list[Missing]]:
    """Return the runs with their scores, and those whose predictions are malformed."""
    answers, scored, malformed = None, [], []
    for run in runs:
        try:
            answers = answers or Answers(run.path)
            scored.append(replace(run, scores=answers.scores(run.path)))
        except (Malformed, OSError) as error:
            malformed.append(_malformed(run.path, error))
    return answers, scored, malformed  # type: ignore[return-value]


def _is_run(path: Path) -> bool:
    marks = (RECORD, "config.yaml", FILE, "metrics.csv", "last.ckpt")
    try:
        return path.is_dir() and any((path / mark).exists() for mark in marks)
    except OSError:  # a folder without permission to read
        return True


def _read_run(path: Path) -> Run | Missing:
    try:
        return _read_finished(path)
    except (Malformed, OSError) as error:
        return _malformed(path, error)


def _malformed(path: Path, error: Exception) -> Missing:
    return Missing(run_label(path), f"can't be read: {error}".replace(f"{path}/", ""), malformed=True)


def run_label(path: Path) -> str:
    """Return a run's name, of which bytes that are not text are replaced."""
    return printable(os.fsencode(path.name).decode(errors="replace"))


def _read_finished(path: Path) -> Run | Missing:
    if not is_finished(path):
        return Missing(run_label(path), status(path))
    record = read_record(path, REQUIRED)
    configured(path)  # raises here if the config can't be read, rather than when runs are compared
    if not (path / FILE).exists():
        return Missing(
            run_label(path), "metrics.json without predictions.parquet: delete the folder and run it again"
        )
    return Run(path, record)


def _level(run: Run, factor: str) -> str:
    """Return the value of a factor, from the run's name or else its config."""
    value: Any = run.overrides.get(factor, configured(run.path).get(factor))
    return "" if value is None else str(value)


def _check_benchmark(study: Path, runs: Sequence[Run]) -> None:
    """Refuse runs of two benchmarks, unless these have the same examples. No choice of keys makes others comparable."""
    of: dict[str, list[Run]] = {}
    for run in runs:
        of.setdefault(printable(str(run.record["benchmark"])), []).append(run)
    if len(of) < 2:
        return
    (first, most), *others = sorted(of.items(), key=lambda item: -len(item[1]))
    for name, fewer in others:
        if (one := _examples(most)) and (other := _examples(fewer)) and one != other:
            raise ValueError(
                f"{most[0].name} answered examples of {first}, and {fewer[0].name} others of {name}. A study has one benchmark, since "
                f"comparison is paired: move the {len(fewer)} runs of {name} to a folder of their own, such as "
                f"{Path(os.path.abspath(study)).name}_{name} beside this one."
            )


def _examples(runs: Sequence[Run]) -> set[tuple[str, str, str]]:
    """Return the examples that the first run with readable predictions answered; none if no run has such."""
    for run in runs:
        with suppress(Malformed, OSError):
            return answered(run.path)
    return set()


def _check_cells(runs: list[Run]) -> None:
    cells: dict[tuple[str, int, int], Run] = {}
    for run in runs:
        first = cells.setdefault((run.row, run.seed, run.data_seed), run)
        if first is not run:
            raise ValueError(
                f"{run.name} and {first.name} are both bridge={run.row}, seed={run.seed}, "
                f"data_seed={run.data_seed}. A cell has one run: move one of them to a study of its own, or sweep what they "
                "differ in."
            )


def _place(run: Run, orders: dict[str, list[str]]) -> tuple[Any, ...]:
    """Return the sort key of a run: by the order of the sweep, then by number or name."""

    def of(name: str, value: str) -> tuple[Any, ...]:
        order = orders[name]
        number = float(value) if re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", value) else 0.0
        return (order.index(value) if value in order else len(order), number, value)

    levels = (part for name, level in run.levels.items() for part in of(name, level))
    return (*of("bridge", run.bridge), *levels, run.data_seed, run.seed)


def _levels_of_bridges(factor: str, runs: list[Run], begun: list[dict[str, str]]) -> dict[str, set[str]]:
    """Return the levels of a factor that each bridge's runs have, also those that have begun; '' if a bridge lacks the key."""
    levels: dict[str, set[str]] = {}
    for bridge, level in [
        *((run.bridge, run.levels[factor]) for run in runs),
        *((one.get("bridge", ""), one.get(factor, "")) for one in begun),
    ]:
        levels.setdefault(bridge, set()).add(level)
    return levels


def _absent(
    runs: list[Run], unfinished: list[Missing], sweep: dict[str, list[str]], varied: list[str]
) -> Iterator[Missing]:
    """Yield the cells of bridge × seed × other factors that have not even a folder.

    A key of the bridge's own is crossed only with bridges that have it.
    """

    def cell_of(run: Run) -> tuple[str, ...]:
        of = {"bridge": run.bridge, "seed": str(run.seed), "data_seed": str(run.data_seed), **run.levels}
        return tuple(of[name] for name in names)

    names = ["bridge", "seed", *(["data_seed"] if len(sweep.get("data_seed", [])) > 1 else []), *varied]
    untrained = {run.bridge for run in runs if not run.trains}
    values = {name: dict.fromkeys(sweep.get(name, [])) for name in names}
    for run in runs:
        for name, value in zip(names, cell_of(run), strict=True):
            if run.trains or name == "bridge":  # seeds of an untrained row do not count for others
                values[name].setdefault(value)
    existing = {cell_of(run) for run in runs}
    # Each bridge may have rates of its own: only those that the sweep lists, or one of its runs has, are due.
    listed = sweep.get(RATE, []) if len(sweep.get(RATE, [])) > 1 else []
    tried = {(run.bridge, run.levels.get(RATE)) for run in runs}
    begun = [cell(one.name) for one in unfinished]
    own = {name: _levels_of_bridges(name, runs, begun) for name in varied if is_of_bridge(name)}
    planned = sweep.get("bridge", [])
    for combination in product(*values.values()):
        of = dict(zip(names, combination, strict=True))
        frozen = of.get("text.adapt", "none") == "none"  # an adapter is trained beside plain words too
        if combination in existing or (of["bridge"] in untrained and frozen):
            continue
        if RATE in of and of[RATE] not in listed and (of["bridge"], of[RATE]) not in tried:
            continue
        bridge = of["bridge"]
        if not all(
            of[name] in levels.get(bridge, ())
            or (
                of[name] in sweep.get(name, [])
                and (bridge in planned or not planned)
                and levels.get(bridge) != {""}
            )
            for name, levels in own.items()
        ):
            continue
        if not any(all(one.get(name) == value for name, value in of.items()) for one in begun):
            yield Missing(",".join(f"{name}={value}" for name, value in of.items()), "not started")
