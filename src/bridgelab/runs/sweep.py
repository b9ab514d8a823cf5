"""What a study sweeps: as Hydra's multirun.yaml declares it, and as the names of its runs tell."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from bridgelab.runs.older_names import current_key, current_override
from bridgelab.runs.record_schema import Checked, checked, read_yaml

ALWAYS = ("bridge", "seed", "data_seed")  # what any study may vary: a row is a bridge, and its runs are seeds
_APART = re.compile(r",(?![^\[({]*[\])}])")  # a comma outside of brackets


def overrides(name: str) -> dict[str, str]:
    """Keys and values of a run's name: 'bridge=mlp,train.lr=0.1' gives {'bridge': 'mlp', 'train.lr': '0.1'}."""
    parts = (part.lstrip("+").split("=", 1) for part in _APART.split(name) if "=" in part)
    return {current_key(key): value for key, value in parts}


class Sweeper(Checked):
    """`hydra.sweeper` of a multirun.yaml."""

    params: dict[str, Any] | None = None


class Overrides(Checked):
    """`hydra.overrides` of a multirun.yaml."""

    task: list[str] = Field(default_factory=list)


class Declared(Checked):
    """What Hydra keeps of a sweep: its study's values, and the command line's."""

    sweeper: Sweeper = Sweeper()
    overrides: Overrides = Overrides()


class Multirun(Checked):
    """A study's multirun.yaml."""

    hydra: Declared = Declared()


def last_sweep(study: Path) -> Declared:
    """What a study's last sweep was given; nothing where it has none.

    Raises:
        Malformed: if multirun.yaml is not one that Hydra writes.
    """
    path = study / "multirun.yaml"
    if not path.exists():
        return Declared()
    return checked(path, read_yaml(path), Multirun).hydra


def command(study: Path, names: Sequence[str]) -> str:
    """What to type for a study to be made, or to go on: as its last sweep was, else a line for each of its runs.

    Args:
        study: its folder.
        names: of runs.
    Raises:
        Malformed: as `last_sweep`.
    """
    task = [current_override(one) for one in last_sweep(study).overrides.task]
    if task:
        sweeps = not any(one.startswith("experiments=") for one in task)
        return shlex.join(["bridgelab", "train", *(["-m"] if sweeps else []), *task])
    return "\n".join(
        shlex.join(["bridgelab", "train", *map(current_override, _APART.split(name))])
        for name in names
        if "=" in name
    )


def swept(study: Path) -> dict[str, list[str]]:
    """The values of the last sweep, of the study's yaml and of the command line: {'bridge': ['linear', …], …}."""
    declared = last_sweep(study)
    given = dict(declared.sweeper.params or {})
    given |= dict(item.split("=", 1) for item in declared.overrides.task if "=" in item)
    return {
        current_key(name.lstrip("+")): [value.strip().replace("/", "_") for value in str(values).split(",")]
        for name, values in given.items()
        if not set("()[]{}$") & set(str(values))  # range(3), lists and interpolations are not read
    }


def factors(sweep: dict[str, list[str]], names: list[dict[str, str]], bridges: list[str]) -> list[str]:
    """What is varied beside bridges and seeds.

    That is what the sweep gives several values, and, of a study whose last sweep was narrower or is not told, what the name of
    every run gives and one bridge was run at several values of.

    Args:
        sweep: as `swept` gives it.
        names: of runs, as `overrides` gives them.
        bridges: of the same runs.
    """
    declared = [name for name, values in sweep.items() if len(values) > 1]
    told = [key for key in (names[0] if names else {}) if all(key in name for name in names)]
    crossed = []
    for key in told:
        levels: dict[str, set[str]] = {}
        for name, bridge in zip(names, bridges, strict=True):
            levels.setdefault(bridge, set()).add(name[key])
        if any(len(found) > 1 for found in levels.values()):
            crossed.append(key)
    return [name for name in dict.fromkeys([*declared, *crossed]) if name not in ALWAYS]
