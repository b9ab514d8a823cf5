"""Commands that repeat a study's runs or do those that are missing, and the overrides that each run keeps for them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from bridgelab.atomic import atomic_path
from bridgelab.runs.older_names import current_override
from bridgelab.runs.quoted import PLAIN
from bridgelab.runs.record_schema import checked, read_yaml
from bridgelab.runs.run_name import OWN, cell, is_of_row, is_shortened, parts_of, row_keys
from bridgelab.runs.sweep import Overrides, last_folders, last_launcher, last_overrides, swept

# In a run's folder: its command line, which the folder's name tells only in part.
OVERRIDES = "overrides.yaml"
RUNS = "runs"  # `paths.runs` of conf/train.yaml
# The yaml that `bridgelab study --add` begins a user-defined class with.
BASE = "bridge=linear"


def keep_overrides(run: Path, task: Sequence[str]) -> None:
    """Write the overrides of a run's command line to its folder."""
    with atomic_path(run / OVERRIDES) as temporary:
        OmegaConf.save(OmegaConf.create({"task": list(task)}), temporary)


def kept_overrides(run: Path) -> list[str]:
    """Return the overrides of a run: as they were given, or if that was not recorded, those in the folder's name."""
    path = run / OVERRIDES
    given = checked(path, read_yaml(path), Overrides).task if path.exists() else parts_of(run.name)
    return [current_override(one) for one in given if "=" in one]


def command(study: Path, names: Sequence[str]) -> str:
    """Return the command that runs or continues a study: its last sweep, where its jobs ran, or one line per run.

    Args:
        study: its folder.
        names: names of its runs.
    Raises:
        Malformed: as `sweep.last_sweep`.
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
        Malformed: as `sweep.last_sweep`.
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
        Malformed: as `sweep.last_sweep`.
    """
    planned = swept(study)
    lines = [command(study, names)]
    if _without_defaults(last_overrides(study)):  # else there is a line for each run already
        for name in names:
            one = cell(name)
            if _is_planned(planned, one):
                continue
            others = {key: value for key, value in one.items() if not is_of_row(key)}
            is_added = one.get("bridge") not in planned.get("bridge", [None]) and _is_planned(planned, others)
            lines.append(added_rows(study, [name]) if is_added else _one_run(study, name))
    return "\n".join(dict.fromkeys(lines))


def _is_planned(planned: dict[str, list[str]], one: dict[str, str]) -> bool:
    return all(value in planned.get(key, [value]) or is_shortened(value) for key, value in one.items())


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
    parts = [part for part in parts_of(names[0]) if part != BASE or OWN not in names[0]]
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


def _without_defaults(task: Sequence[str]) -> list[str]:
    """Drop `paths.runs` if it is the default, and `study` if `experiments` names it. Unquote `paths.runs` if it needs no quotes."""
    kept = []
    for one in task:
        key, _, value = one.partition("=")
        bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value
        here = key == "paths.runs" and Path(bare).resolve() == Path(RUNS).resolve()
        if not here and not (key == "study" and f"experiments={bare}" in task):
            kept.append(f"{key}={bare}" if key == "paths.runs" and PLAIN.fullmatch(bare) else one)
    return kept
