"""Find and read the run records of a study, name what is missing, and refuse what cannot be compared.

A record is a folder `runs/<study>/<overrides>/` with `predictions.parquet` (one row an example) and
`metrics.json`, which is written last: a folder without it is an unfinished run.
"""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.printable import printable
from bridgelab.runs.comparable import SHARED, check_comparable, configured
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.finished_run import Run
from bridgelab.runs.log import failure, last_lines
from bridgelab.runs.predictions import FILE, SEEN, Answers, clusters
from bridgelab.runs.record_schema import MOST, Malformed, read_record, regular
from bridgelab.runs.sweep import command, factors, overrides, swept

REQUIRED = (*(name for name in SHARED if name != "precision"), "bridge", "seed", "costs", "metrics")
LOGS = ("log.txt", "train.log")  # of a job of a sweep, and of any run
GOES_ON = re.compile(r"\[(\d{4}-\d\d-\d\d |\d\d:\d\d:\d\d\] )|.*\bstep \d")  # a line of a run's log
WORDS = 160  # characters of them that are told
DIGITS = 16  # of a step


@dataclass(frozen=True)
class Missing:
    """A cell of the sweep that has no finished run, and what is known of it."""

    name: str
    reason: str
    malformed: bool = False  # there is a record, and it cannot be read

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Study:
    """All finished runs of a study, in the order of its sweep, and the cells that are missing.

    Args:
        examples: what all runs answered, one row an example with its tags, by kind and id; text as the first run recorded it.
        allowed: in what runs differ that a reader allowed, in words.
    """

    name: str
    path: Path
    runs: tuple[Run, ...]
    missing: tuple[Missing, ...]
    examples: pd.DataFrame
    allowed: tuple[str, ...] = ()

    @cached_property
    def _rows(self) -> dict[str, tuple[Run, ...]]:
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.row, []).append(run)
        return {name: tuple(runs) for name, runs in found.items()}

    @property
    def bridges(self) -> tuple[str, ...]:
        """The rows of its tables in the order of the sweep: bridges, with the levels of whatever else is swept."""
        return tuple(self._rows)

    def of(self, bridge: str) -> tuple[Run, ...]:
        """The runs of one of `bridges`."""
        return self._rows.get(bridge, ())

    def beside(self, row: str, bridge: str) -> str | None:
        """The row of another bridge that a row is compared with: at its levels, as far as that bridge has any; None without."""
        levels = self.of(row)[0].levels
        rows = [name for name, runs in self._rows.items() if runs[0].bridge == bridge]
        like = [
            name
            for name in rows
            if all(level in ("", levels.get(f, "")) for f, level in self.of(name)[0].levels.items())
        ]
        return max(like, key=lambda name: sum(map(bool, self.of(name)[0].levels.values())), default=None)

    @cached_property
    def asked(self) -> pd.DataFrame:
        """The examples that were asked, which are all but captions."""
        return self.examples[self.examples["kind"] != "caption"]

    @cached_property
    def captioned(self) -> pd.DataFrame:
        """The examples that were captioned."""
        return self.examples[self.examples["kind"] == "caption"]

    @cached_property
    def clusters(self) -> np.ndarray:
        """Which of its examples are drawn together, for every interval and every test [example]: see `predictions.clusters`."""
        return clusters(self.examples)

    def scores(self, bridge: str, view: str = SEEN) -> np.ndarray:
        """Scores of a row's runs of what was asked [run, example]."""
        return np.stack([run.scores[view][self.asked.index] for run in self.of(bridge)])

    def has(self, bridge: str, view: str) -> bool:
        """Whether all that was asked was put to a row's runs in a view."""
        return all(
            view in run.scores and not np.isnan(run.scores[view][self.asked.index]).any()
            for run in self.of(bridge)
        )


def read_study(study: str | Path, *, allow: Sequence[str] = ()) -> Study:
    """Read a study's folder, `runs/<study>`.

    Args:
        allow: keys in which runs may differ beside what the study sweeps, such as train.steps.
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if a record stands twice, or cannot be compared with the others. One that is malformed is among `missing`.
    """
    study = Path(study)
    runs, unfinished = read_runs(study)
    sweep = swept(study)
    varied = factors(sweep, [run.overrides for run in runs], [run.bridge for run in runs])
    runs = [replace(run, levels={name: _level(run, name) for name in varied}) for run in runs]
    _check_cells(runs)
    allowed = check_comparable(study, runs, varied, allow)
    orders = {name: sweep.get(name, []) for name in ("bridge", *varied)}
    runs.sort(key=lambda run: _place(run, orders))
    answers, runs, torn = _answered(runs)
    if not runs:
        raise _nothing(study, torn)
    unfinished += torn
    missing = (*unfinished, *_absent(runs, unfinished, sweep, varied))
    return Study(study.name, study, tuple(runs), missing, answers.examples, tuple(allowed))


def read_runs(study: Path) -> tuple[list[Run], list[Missing]]:
    """The runs of a study's folder that are finished, without their answers, and those that are not or whose record is malformed;
    nothing is compared.

    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
    """
    if not study.is_dir():
        raise FileNotFoundError(
            f"{study} is not a folder. A study is read from runs/<study>: run `bridgelab train "
            "experiments=<study>`."
        )
    runs: list[Run] = []
    unfinished: list[Missing] = []
    for path in sorted(child for child in study.iterdir() if _is_run(child)):
        found = _read_run(path)
        (runs if isinstance(found, Run) else unfinished).append(found)  # type: ignore[arg-type]
    if not runs:
        raise _nothing(study, unfinished)
    return runs, unfinished


def _nothing(study: Path, unfinished: Sequence[Missing]) -> FileNotFoundError:
    told = f": {'; '.join(map(str, unfinished[:5]))}" if unfinished else ""
    lines = command(study, [one.name for one in unfinished]).splitlines()
    again = (
        f"Run `{lines[0]}` again: it does what is missing."
        if lines
        else "Train into it: `bridgelab train study=NAME`."
    )
    return FileNotFoundError(
        f"{study} holds 0 finished runs and {len(unfinished)} unfinished ones{told}. A run is finished when its metrics.json "
        f"stands. {again}"
    )


def _answered(runs: list[Run]) -> tuple[Answers, list[Run], list[Missing]]:
    """The runs with their scores, and those whose predictions are malformed."""
    answers, whole, torn = None, [], []
    for run in runs:
        try:
            answers = answers or Answers(run.path)
            whole.append(replace(run, scores=answers.scores(run.path)))
        except (Malformed, OSError) as error:
            torn.append(_torn(run.path, error))
    return answers, whole, torn  # type: ignore[return-value]


def _is_run(path: Path) -> bool:
    marks = (RECORD, "config.yaml", FILE, "metrics.csv", "last.ckpt")
    try:
        return path.is_dir() and any((path / mark).exists() for mark in marks)
    except OSError:  # a folder that may not be looked into
        return True


def _read_run(path: Path) -> Run | Missing:
    try:
        return _read_whole(path)
    except (Malformed, OSError) as error:
        return _torn(path, error)


def _torn(path: Path, error: Exception) -> Missing:
    return Missing(shown(path), f"can't be read: {error}".replace(f"{path}/", ""), malformed=True)


def shown(path: Path) -> str:
    """A run's name, whose bytes need not be text."""
    return printable(os.fsencode(path.name).decode(errors="replace"))


def _read_whole(path: Path) -> Run | Missing:
    if not is_finished(path):
        return Missing(shown(path), _how_far(path))
    record = read_record(path, REQUIRED)
    configured(path)  # it is compared with others', later: if it can't be read, this is where that is told
    if not (path / FILE).exists():
        return Missing(
            shown(path), "metrics.json without predictions.parquet: delete the folder and run it again"
        )
    return Run(path, record)


def _how_far(path: Path) -> str:
    """What an unfinished run's folder tells: its error, where that is the last that it logged, and its last step."""
    step = _last_step(path / "metrics.csv")
    at = f", last logged at step {step}" if step else ""
    if (path / "not_finite.json").exists():
        return f"failed{at}: a loss or a gradient was not finite, see not_finite.json"
    for name in LOGS:
        if not (path / name).exists():
            continue
        log = regular(path / name)
        told, said = failure(log)
        lines = last_lines(log)
        after = lines[len(lines) - lines[::-1].index(said[0]) :] if told else []
        # What libraries say at a process's end comes after it too; of a further attempt there are lines of ours.
        if told and not any(GOES_ON.match(line) for line in after):
            return f"failed{at}{printable(told)[:WORDS]}"
    return f"unfinished{at}"


def _last_step(log: Path) -> int:
    """The largest step in a flushed log, 0 if there is none; its last line may be torn."""
    if not log.exists():
        return 0
    with regular(log, MOST).open(newline="", encoding="utf-8", errors="replace") as lines:
        try:
            steps = [row.get("step") or "" for row in csv.DictReader(lines)]
        except csv.Error as error:
            raise Malformed(f"{log} is no table ({error}).") from error
    return max((int(step) for step in steps if step.isdecimal() and len(step) < DIGITS), default=0)


def _level(run: Run, factor: str) -> str:
    """As its name gives it, else as its config does."""
    found: Any = run.overrides.get(factor, configured(run.path).get(factor))
    return "" if found is None else str(found)


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
    """By the order of the sweep, then by name or number."""

    def of(name: str, value: str) -> tuple[Any, ...]:
        order = orders[name]
        number = float(value) if re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", value) else 0.0
        return (order.index(value) if value in order else len(order), number, value)

    levels = (part for name, level in run.levels.items() for part in of(name, level))
    return (*of("bridge", run.bridge), *levels, run.data_seed, run.seed)


def _absent(
    runs: list[Run], unfinished: list[Missing], sweep: dict[str, list[str]], varied: list[str]
) -> Iterator[Missing]:
    """Cells of bridge × seed, and of what else is swept, of which there is not even a folder."""

    def cell(run: Run) -> tuple[str, ...]:
        of = {"bridge": run.bridge, "seed": str(run.seed), "data_seed": str(run.data_seed), **run.levels}
        return tuple(of[name] for name in names)

    names = ["bridge", "seed", *(["data_seed"] if len(sweep.get("data_seed", [])) > 1 else []), *varied]
    untrained = {run.bridge for run in runs if not run.trains}
    values = {name: dict.fromkeys(sweep.get(name, [])) for name in names}
    for run in runs:
        for name, value in zip(names, cell(run), strict=True):
            if run.trains or name == "bridge":  # an untrained row's seeds are no one else's
                values[name].setdefault(value)
    there = {cell(run) for run in runs}
    begun = [overrides(one.name) for one in unfinished]
    for found in product(*values.values()):
        of = dict(zip(names, found, strict=True))
        if found in there or of["bridge"] in untrained:
            continue
        if not any(all(one.get(name) == value for name, value in of.items()) for one in begun):
            yield Missing(",".join(f"{name}={value}" for name, value in of.items()), "not started")
