"""What a study sweeps, from Hydra's multirun.yaml and from the names of its runs."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from pydantic import Field

from bridgelab.atomic import atomic_path, write_bytes
from bridgelab.runs.locks import locked
from bridgelab.runs.older_names import current_key, current_override
from bridgelab.runs.record_schema import Checked, checked, read_yaml

MULTIRUN = "multirun.yaml"
# The study's own multirun.yaml while `bridgelab study --add` trains a row, whose sweep Hydra writes in its place.
KEPT = "multirun.study.yaml"
ADDING = ".add.lock"  # of a study's folder; `bridgelab study --add` holds it while it trains
# In a run's folder: its command line, which the folder's name tells only in part.
OVERRIDES = "overrides.yaml"
OWN = "bridge._target_"  # of a class of one's own, which is then the run's bridge whatever yaml its keys start from
INITIAL = "bridge.init_from"
# Every study varies these, and they are not factors: a row is a bridge, and its runs are seeds.
ALWAYS = ("bridge", OWN, "seed", "data_seed")
RUNS = "runs"  # `paths.runs` of conf/train.yaml
# Of Hydra's own keys, those that say where jobs run and which ones: on this machine or on Slurm, by which engine.
PLACES_JOBS = ("hydra/launcher", "hydra.launcher.", "hydra/sweeper", "hydra.sweeper.")
# The yaml that `bridgelab study --add` begins a class of one's own with.
BASE = "bridge=linear"
Value = TypeVar("Value")
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # needs no quotes in an override
_RANGE = re.compile(
    r"range\(\s*(-?\d{1,9})\s*(?:,\s*(-?\d{1,9})\s*)?(?:,\s*(-?\d{1,9})\s*)?\)", re.ASCII
)  # in Hydra's syntax
MOST_VALUES = 1000  # of a range, which a stranger's multirun.yaml may give any length
_SHORTENED = re.compile(
    r"\.\.\.[0-9a-f]{16}$"
)  # the last value of a name that was too long (`config.resolvers.run_name`)
_COMMA = re.compile(r",(?![^\[({]*[\])}])")  # outside brackets


def overrides(name: str) -> dict[str, str]:
    """Return the keys and values in a run's name: 'bridge=mlp,train.lr=0.1' gives {'bridge': 'mlp', 'train.lr': '0.1'}."""
    parts = (part.lstrip("+").split("=", 1) for part in _COMMA.split(name) if "=" in part)
    return {current_key(key): value for key, value in parts}


def bridge_of(name: str) -> str:
    """Return the bridge in a run's name, or the class of one's own; empty if the name has none."""
    return cell(name).get("bridge", "")


def cell(name: str) -> dict[str, str]:
    """Return the keys and values in a run's name as `overrides` does, with a class of one's own as the bridge."""
    return _with_class(overrides(name))


def row_of(name: str, bridge: str) -> str:
    """Return the row that a run's name tells: 'linear, budget.tokens=4' for 'bridge=linear,budget.tokens=4,seed=0'.

    A name alone does not tell which keys the study varies, so each of its keys counts but the seeds.

    Args:
        name: of the run's folder.
        bridge: the run's bridge, which the name may lack.
    """
    return ", ".join([bridge, *(f"{key}={value}" for key, value in cell(name).items() if key not in ALWAYS)])


def _with_class(values: dict[str, Value]) -> dict[str, Value]:
    return {
        ("bridge" if key == OWN else key): value
        for key, value in values.items()
        if key != "bridge" or OWN not in values
    }


def quoted(value: str) -> str:
    """Return a value for an override, in Hydra's quotes if it needs them."""
    if _PLAIN.fullmatch(value):
        return value
    from hydra.core.override_parser.types import Quote, QuotedString

    # Hydra takes a backslash for itself, except before the quote; so not every one may be doubled.
    return str(QuotedString(value, Quote.single).with_quotes())


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


def keep_overrides(run: Path, task: Sequence[str]) -> None:
    """Write the overrides of a run's command line to its folder."""
    with atomic_path(run / OVERRIDES) as temporary:
        OmegaConf.save(OmegaConf.create({"task": list(task)}), temporary)


def kept_overrides(run: Path) -> list[str]:
    """Return the overrides of a run: as they were given, or if that was not recorded, those in the folder's name."""
    path = run / OVERRIDES
    given = checked(path, read_yaml(path), Overrides).task if path.exists() else _COMMA.split(run.name)
    return [current_override(one) for one in given if "=" in one]


def command(study: Path, names: Sequence[str]) -> str:
    """Return the command that runs or continues a study: its last sweep, where its jobs ran, or one line per run.

    Args:
        study: its folder.
        names: names of its runs.
    Raises:
        Malformed: as `last_sweep`.
    """
    task = _without_defaults(last_overrides(study))
    if task:
        sweeps = not any(one.startswith("experiments=") for one in task)
        options = [*last_folders(study), *(["-m"] if sweeps else [])]
        return shlex.join(["bridgelab", "train", *options, *last_launcher(study), *task])
    runs = (kept_overrides(study / name) for name in names)
    return "\n".join(shlex.join(["bridgelab", "train", *given]) for given in runs if given)


def what_is_missing(study: Path, names: Sequence[str]) -> str:
    """Return the command that does runs which are missing.

    That is `command` if the last sweep has one of them, `bridgelab study --add` if only added rows are missing, and else one line per run.

    Args:
        study: its folder.
        names: of the missing runs.
    Raises:
        Malformed: as `last_sweep`.
    """
    planned, missing = swept(study), {name: cell(name) for name in names}
    if any(_is_planned(planned, one) for one in missing.values()):
        return command(study, names)
    own = [name for name in names if missing[name].get("bridge") in planned.get("bridge", [None])]
    if own or "bridge" not in planned:  # of an earlier sweep
        return "\n".join(_one_run(study, name) for name in own or names)
    return added_rows(study, names)


def every_command(study: Path, names: Sequence[str]) -> str:
    """Return the commands that make a study's runs: `command`, then what that sweep lacks.

    That is `bridgelab study --add` for a row that differs from the sweep in its bridge and budget alone, and else one line per run.

    Args:
        study: its folder.
        names: names of its runs.
    Raises:
        Malformed: as `last_sweep`.
    """
    planned = swept(study)
    lines = [command(study, names)]
    if _without_defaults(last_overrides(study)):  # else there is a line for each run already
        for name in names:
            one = cell(name)
            if _is_planned(planned, one):
                continue
            others = {key: value for key, value in one.items() if not _is_of_row(key)}
            is_added = one.get("bridge") not in planned.get("bridge", [None]) and _is_planned(planned, others)
            lines.append(added_rows(study, [name]) if is_added else _one_run(study, name))
    return "\n".join(dict.fromkeys(lines))


def _is_planned(planned: dict[str, list[str]], one: dict[str, str]) -> bool:
    return all(value in planned.get(key, [value]) or _SHORTENED.search(value) for key, value in one.items())


def added_rows(study: Path, names: Sequence[str]) -> str:
    """Return the command that adds a row to a study.

    That is `bridgelab study --add`, or one line per run if the study's last sweep read a folder of its own (`--config-dir`), which `--add`
    refuses.

    Args:
        study: its folder.
        names: names of the row's runs.
    """
    if last_folders(study):
        return "\n".join(_one_run(study, name) for name in names)
    parts = [part for part in _COMMA.split(names[0]) if part != BASE or OWN not in names[0]]
    added = [*last_launcher(study), *map(current_override, row_keys(parts))]
    return shlex.join(["bridgelab", "study", str(study), "--add", *added])


def _one_run(study: Path, name: str) -> str:
    options = [*last_folders(study), *(["-m"] if last_launcher(study) else [])]
    return shlex.join(
        ["bridgelab", "train", *options, *last_launcher(study), *_run_of_earlier_sweep(study / name)]
    )


def _run_of_earlier_sweep(run: Path) -> list[str]:
    """Return the overrides of a run that the last sweep lacks: its own, or if it was not begun, the last sweep's with those in its name."""
    own = kept_overrides(run)
    if (run / OVERRIDES).exists():
        return own
    keys = {one.lstrip("+").partition("=")[0] for one in own}
    return [
        *(one for one in last_overrides(run.parent) if one.lstrip("+~").partition("=")[0] not in keys),
        *own,
    ]


def row_keys(parts: Sequence[str]) -> list[str]:
    """Return those parts of a run's name that choose its row, as overrides. A class of one's own may stand as the bridge, as in `cell`."""
    row = [part for part in parts if "=" in part and _is_of_row(part.lstrip("+").partition("=")[0])]
    return [re.sub(r"^bridge=(?=.*\.)", f"{OWN}=", part) for part in row]


def _is_of_row(key: str) -> bool:
    return key.partition(".")[0] in ("bridge", "budget")


def _without_defaults(task: Sequence[str]) -> list[str]:
    """Drop `paths.runs` if it is the default, and `study` if `experiments` names it. Unquote `paths.runs` if it needs no quotes."""
    kept = []
    for one in task:
        key, _, value = one.partition("=")
        bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value
        here = key == "paths.runs" and Path(bare).resolve() == Path(RUNS).resolve()
        if not here and not (key == "study" and f"experiments={bare}" in task):
            kept.append(f"{key}={bare}" if key == "paths.runs" and _PLAIN.fullmatch(bare) else one)
    return kept


def swept(study: Path) -> dict[str, list[str]]:
    """Return the values that the last sweep took from the study and the command line: {'bridge': ['linear', …], …}.

    Classes of one's own are values of 'bridge', as in `cell`.
    """
    sweep = last_sweep(study)
    params = dict(sweep.sweeper.params or {})
    params |= dict(item.split("=", 1) for item in sweep.overrides.task if "=" in item)
    found = {current_key(name.lstrip("+")): _values(str(values)) for name, values in params.items()}
    return _with_class({name: values for name, values in found.items() if values})


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
        names: the result of `overrides` for each run.
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
