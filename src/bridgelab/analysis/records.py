"""Find and read the run records of a study, name what is missing, and refuse what cannot be compared.

A record is a folder `runs/<study>/<overrides>/` with `predictions.parquet` (one row an example) and
`metrics.json`, which is written last: a folder without it is an unfinished run.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

# What runs of one table share. A claim about bridges is void if one of them saw other features, other data,
# more examples or a wider search of its learning rate.
SHARED = (
    "benchmark",
    "fingerprints",
    "features_dtype",
    "insert",
    "positions",
    "examples_seen",
    "mixture",
    "tuned_over",
)
OF_IMAGES = ("fingerprints.vision", "features_dtype")  # which a row that sees no image need not have
# These are choices of training, so a row that trains nothing (plain words) has none to differ in.
OF_TRAINING = ("examples_seen", "mixture", "tuned_over")
REQUIRED = (*SHARED, "bridge", "seed", "costs", "metrics")
COLUMNS = ("id", "image", "kind", "view", "target", "prediction", "score")


@dataclass(frozen=True, eq=False)  # compared by identity: a data frame has no truth value
class Run:
    """One finished run: its folder, `metrics.json` as read, and its predictions, one row an example."""

    path: Path
    record: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def bridge(self) -> str:
        return str(self.record["bridge"])

    @property
    def sees(self) -> str:
        return str(self.record.get("sees", "image"))

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def data_seed(self) -> int:
        return int(self.record.get("data_seed", 0))

    @property
    def trains(self) -> bool:
        """Whether anything was trained; plain words is the frozen T5 alone."""
        return int(self.record["costs"].get("trainable_parameters", 1)) > 0

    @property
    def name(self) -> str:
        return str(self.record.get("overrides") or self.path.name)


@dataclass(frozen=True)
class Missing:
    """A cell of the sweep that has no finished run, and what is known of it."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Study:
    """All finished runs of a study, in the order of its sweep, and the cells that are missing."""

    name: str
    path: Path
    runs: tuple[Run, ...]
    missing: tuple[Missing, ...]

    @property
    def bridges(self) -> tuple[str, ...]:
        """Names in the order of the sweep."""
        return tuple(dict.fromkeys(run.bridge for run in self.runs))

    def of(self, bridge: str) -> tuple[Run, ...]:
        """The runs of one bridge."""
        return tuple(run for run in self.runs if run.bridge == bridge)


def read_study(study: Path) -> Study:
    """Read a study's folder, `runs/<study>`.

    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if a record is malformed, stands twice, or cannot be compared with the others.
    """
    study = Path(study)
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
        raise FileNotFoundError(
            f"{study} holds 0 finished runs and {len(unfinished)} unfinished ones; a run is finished when "
            f"its metrics.json stands. Run `bridgelab train experiments={study.name}`: it does what is "
            "missing."
        )
    _check_comparable(runs)
    _check_paired(runs)
    sweep = _swept(study)
    order = [name for name in sweep.get("bridge", []) if any(run.bridge == name for run in runs)]
    runs.sort(key=lambda run: (_place(order, run.bridge), run.bridge, run.data_seed, run.seed))
    return Study(study.name, study, tuple(runs), (*unfinished, *_absent(runs, unfinished, sweep)))


def _is_run(path: Path) -> bool:
    marks = ("metrics.json", "config.yaml", "predictions.parquet", "metrics.csv", "last.ckpt")
    return path.is_dir() and any((path / mark).exists() for mark in marks)


def _read_run(path: Path) -> Run | Missing:
    if not (path / "metrics.json").exists():
        step = _last_step(path / "metrics.csv")
        return Missing(path.name, "unfinished" + (f", last logged at step {step}" if step else ""))
    try:
        record = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path / 'metrics.json'} is not JSON ({error}). Records are written whole: delete the folder "
            "and run the study again."
        ) from error
    lacking = [key for key in REQUIRED if key not in record]
    if lacking:
        raise ValueError(
            f"{path / 'metrics.json'} lacks {', '.join(lacking)}. A record needs {', '.join(REQUIRED)}: "
            "delete the folder and run the study again with this version."
        )
    if not (path / "predictions.parquet").exists():
        return Missing(
            path.name, "metrics.json without predictions.parquet: delete the folder and run it again"
        )
    predictions = pd.read_parquet(path / "predictions.parquet")
    lacking = [column for column in COLUMNS if column not in predictions]
    if lacking:
        raise ValueError(
            f"{path / 'predictions.parquet'} lacks the columns {', '.join(lacking)}. Its rows need "
            f"{', '.join(COLUMNS)}: delete the folder and run the study again with this version."
        )
    twice = predictions.duplicated(["id", "kind", "view"])
    if twice.any():
        raise ValueError(
            f"{path / 'predictions.parquet'} holds id {predictions.loc[twice, 'id'].iloc[0]!r} twice. An "
            "example has one row in each view: delete the folder and run the study again."
        )
    score = predictions["score"]
    if not score.between(0, 1).all():
        bad = score[~score.between(0, 1)].iloc[0]
        raise ValueError(
            f"{path / 'predictions.parquet'} holds score={bad}. A score lies between 0 and 1: delete the "
            "folder and run the study again."
        )
    return Run(path, record, predictions)


def _last_step(log: Path) -> int:
    """The largest step in a flushed log, 0 if there is none; its last line may be torn."""
    if not log.exists():
        return 0
    with log.open(newline="", encoding="utf-8", errors="replace") as lines:
        steps = [row.get("step") or "" for row in csv.DictReader(lines)]
    return max((int(step) for step in steps if step.isdecimal()), default=0)


def _check_comparable(runs: list[Run]) -> None:
    cells: dict[tuple[str, int, int], Run] = {}
    for run in runs:
        first = cells.setdefault((run.bridge, run.seed, run.data_seed), run)
        if first is not run:
            raise ValueError(
                f"{run.name} and {first.name} are both bridge={run.bridge}, seed={run.seed}, "
                f"data_seed={run.data_seed}. A cell has one run: move one of them to a study of its own."
            )
    for key in SHARED:
        values = {
            run: dict(_leaves(key, run.record[key])) for run in runs if key not in OF_TRAINING or run.trains
        }
        for name in dict.fromkeys(name for found in values.values() for name in found):
            bearing = [run for run in values if name not in OF_IMAGES or run.sees == "image"]
            for run in bearing[1:]:
                if values[run].get(name) != values[bearing[0]].get(name):
                    _refuse(name, values[run].get(name), run, values[bearing[0]].get(name), bearing[0])


def _refuse(name: str, value: Any, run: Run, expected: Any, first: Run) -> None:
    raise ValueError(
        f"{name}={value!r} in {run.name}, but {expected!r} in {first.name}. Runs of one table share "
        f"{', '.join(SHARED)}, or they say nothing about the bridge: run the study again from one "
        "configuration (delete the run that is out of date), or move it to a study of its own."
    )


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Values with their full names, so that a message names the one that differs."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from _leaves(f"{name}.{key}", value[key])
    else:
        yield name, value


def _check_paired(runs: list[Run]) -> None:
    """The same questions to all, or a paired comparison is none."""
    first, expected = runs[0], _asked(runs[0])
    for run in runs[1:]:
        differing = expected ^ _asked(run)
        if differing:
            raise ValueError(
                f"{len(differing)} examples were put to only one of {first.name} and {run.name}, such as "
                f"{min(differing)[0]!r}. Comparison is paired, so all runs answer the same examples: delete "
                "the run that is out of date and run the study again."
            )


def _asked(run: Run) -> set[tuple[str, str, str]]:
    rows = run.predictions[run.predictions["view"] == "image"]
    return set(zip(rows["id"].astype(str), rows["kind"], rows["image"].astype(str), strict=True))


def _swept(study: Path) -> dict[str, list[str]]:
    """The values of the last sweep, from Hydra's multirun.yaml: {'bridge': ['linear', …], …}."""
    path = study / "multirun.yaml"
    if not path.exists():
        return {}
    hydra = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("hydra") or {}
    given = dict((hydra.get("sweeper") or {}).get("params") or {})
    task = (hydra.get("overrides") or {}).get("task") or []
    given |= dict(item.split("=", 1) for item in task if "=" in item)
    return {
        name: [value.strip() for value in str(values).split(",")]
        for name, values in given.items()
        if not set("()[]{}$") & set(str(values))  # range(3), lists and interpolations are not read
    }


def _place(order: list[str], bridge: str) -> int:
    return order.index(bridge) if bridge in order else len(order)


def _absent(runs: list[Run], unfinished: list[Missing], sweep: dict[str, list[str]]) -> Iterator[Missing]:
    """Cells of bridge × seed of which there is not even a folder."""
    cells = {(run.bridge, str(run.seed)) for run in runs}
    untrained = {run.bridge for run in runs if not run.trains}
    bridges = dict.fromkeys([*sweep.get("bridge", []), *(run.bridge for run in runs)])
    seeds = dict.fromkeys([*sweep.get("seed", []), *(str(run.seed) for run in runs if run.trains)])
    for bridge, seed in product(bridges, seeds):
        begun = any({f"bridge={bridge}", f"seed={seed}"} <= set(cell.name.split(",")) for cell in unfinished)
        if (bridge, seed) not in cells and bridge not in untrained and not begun:
            yield Missing(f"bridge={bridge},seed={seed}", "not started")
