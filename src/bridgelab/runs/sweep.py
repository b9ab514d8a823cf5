"""What a study sweeps, from Hydra's multirun.yaml and from the names of its runs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from bridgelab.atomic import write_bytes
from bridgelab.runs.locks import locked
from bridgelab.runs.older_names import current_key, current_override
from bridgelab.runs.record_schema import Checked, checked, read_yaml
from bridgelab.runs.run_name import ALWAYS, OWN, with_class

MULTIRUN = "multirun.yaml"
# The study's own multirun.yaml while `bridgelab study --add` trains a row, whose sweep Hydra writes in its place.
KEPT = "multirun.study.yaml"
ADDING = ".add.lock"  # of a study's folder; `bridgelab study --add` holds it while it trains
INITIAL = "bridge.init_from"
# Of Hydra's own keys, those that say where jobs run and which ones: on this machine or on Slurm, by which engine.
PLACES_JOBS = ("hydra/launcher", "hydra.launcher.", "hydra/sweeper", "hydra.sweeper.")
_RANGE = re.compile(
    r"range\(\s*(-?\d{1,9})\s*(?:,\s*(-?\d{1,9})\s*)?(?:,\s*(-?\d{1,9})\s*)?\)", re.ASCII
)  # in Hydra's syntax
MOST_VALUES = 1000  # of a range, which a stranger's multirun.yaml may give any length


class Sweeper(Checked):
    """`hydra.sweeper` of a multirun.yaml."""

    params: dict[str, Any] | None = None


class Overrides(Checked):
    """`hydra.overrides` of a multirun.yaml."""

    task: list[str] = Field(default_factory=list)
    hydra: list[str] = Field(default_factory=list)  # keys of Hydra's own, such as hydra/launcher=slurm


class Source(Checked):
    """A folder that Hydra read configs from, and who named it."""

    path: str
    provider: str


class Runtime(Checked):
    """`hydra.runtime` of a multirun.yaml."""

    config_sources: list[Source] = Field(default_factory=list)


class Sweep(Checked):
    """A sweep as Hydra records it: the study's values, and those of the command line."""

    sweeper: Sweeper = Sweeper()
    overrides: Overrides = Overrides()
    runtime: Runtime = Runtime()


class Multirun(Checked):
    """A study's multirun.yaml."""

    hydra: Sweep = Sweep()


def last_sweep(study: Path) -> Sweep:
    """Return a study's last sweep, but not one that adds a row; an empty one if multirun.yaml does not exist.

    Raises:
        Malformed: if multirun.yaml is not one that Hydra writes.
    """
    for path in (study / KEPT, study / MULTIRUN):
        with suppress(FileNotFoundError):  # the first may just be deleted: then the second is restored
            return checked(path, read_yaml(path), Multirun).hydra
    return Sweep()


def begin_sweep(study: Path) -> None:
    """Let multirun.yaml count again if a killed `bridgelab study --add` left a copy of an earlier one. A sweep that adds a row leaves it.

    Raises:
        OSError: if the copy can't be deleted.
    """
    if (study / KEPT).exists():
        with locked(study / ADDING, wait=False) as nobody_adds:
            if nobody_adds:
                (study / KEPT).unlink(missing_ok=True)


def multirun_bytes(study: Path) -> bytes | None:
    """Return what a study's multirun.yaml holds; None if it does not exist or can't be read."""
    try:
        return (study / MULTIRUN).read_bytes()
    except OSError:
        return None


@contextmanager
def multirun_kept_if_refused(study: Path, before: bytes | None) -> Iterator[None]:
    """Restore a study's multirun.yaml if the sweep is refused within: Hydra writes a sweep's own before its jobs are checked.

    Args:
        study: its folder.
        before: the result of `multirun_bytes` before Hydra wrote.
    """
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if before is None:
                (study / MULTIRUN).unlink(missing_ok=True)
            else:
                write_bytes(study / MULTIRUN, before)
        raise


def last_overrides(study: Path) -> list[str]:
    """Return the overrides of a study's last sweep; none if it is not known.

    Raises:
        Malformed: as `last_sweep`.
    """
    return [current_override(one) for one in last_sweep(study).overrides.task]


def places_jobs(override: str) -> bool:
    """Return whether an override chooses or sets the launcher or the sweeper."""
    return override.lstrip("+~").startswith(PLACES_JOBS)


def last_launcher(study: Path) -> list[str]:
    """Return the overrides of a study's last sweep that say where its jobs ran, such as hydra/launcher=slurm.

    Raises:
        Malformed: as `last_sweep`.
    """
    return [one for one in last_sweep(study).overrides.hydra if places_jobs(one)]


def last_folders(study: Path) -> list[str]:
    """Return the options by which a study's last sweep read configs from further folders, such as --config-dir=mine.

    Raises:
        Malformed: as `last_sweep`.
    """
    sources = last_sweep(study).runtime.config_sources
    return [f"--config-dir={one.path}" for one in sources if one.provider == "command-line"]


def swept(study: Path) -> dict[str, list[str]]:
    """Return the values that the last sweep took from the study and the command line: {'bridge': ['linear', …], …}.

    User-defined classes are values of 'bridge', as in `run_name.cell`.
    """
    sweep = last_sweep(study)
    params = dict(sweep.sweeper.params or {})
    params |= dict(item.split("=", 1) for item in sweep.overrides.task if "=" in item)
    found = {current_key(name.lstrip("+")): _values(str(values)) for name, values in params.items()}
    return with_class({name: values for name, values in found.items() if values})


def _values(values: str) -> list[str]:
    """Return the values of a key, as they are in the names of runs; none for lists, interpolations and quoted text."""
    if match := _RANGE.fullmatch(values.strip()):
        bounds = [int(one) for one in match.groups() if one]
        return [] if bounds[2:] == [0] else [str(number) for number in range(*bounds)[:MOST_VALUES]]
    if set("()[]{}$'\"") & set(values):
        return []
    return [value.strip().replace("/", "_") for value in values.split(",")]


def is_of_bridge(key: str) -> bool:
    """Return whether a key is a bridge's own choice, which other bridges may lack. Initial weights are not: each seed may have its own."""
    return key.startswith("bridge.") and key not in (OWN, INITIAL)


def factors(sweep: dict[str, list[str]], names: list[dict[str, str]], bridges: list[str]) -> list[str]:
    """Return the keys that a study varies apart from bridges and seeds.

    These are the keys to which the sweep gives several values. The last sweep may be narrower than the study, or unknown, so
    keys in the name of every run count too if one bridge has several values of them. A key of the bridge's own, which another
    bridge may lack, counts if it is in the name of each of the bridge's runs.

    Args:
        sweep: the result of `swept`.
        names: the result of `run_name.overrides` for each run.
        bridges: the bridges of the same runs.
    """
    declared = [name for name, values in sweep.items() if len(values) > 1]
    named: dict[str, list[dict[str, str]]] = {}
    for name, bridge in zip(names, bridges, strict=True):
        named.setdefault(bridge, []).append(name)
    crossed = []
    for own in named.values():
        for key in own[0]:
            shared = own if is_of_bridge(key) else names
            if all(key in name for name in shared) and len({name[key] for name in own}) > 1:
                crossed.append(key)
    return [name for name in dict.fromkeys([*declared, *crossed]) if name not in ALWAYS]
