"""The command line of one more row of a study: the study's own, with another bridge."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from bridgelab.cli.arguments import UsageError
from bridgelab.config.instantiate import SLOTS
from bridgelab.runs.finished import is_finished
from bridgelab.runs.quoted import quoted
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.repeat_command import BASE, RUNS
from bridgelab.runs.run_name import OWN
from bridgelab.runs.sweep import MULTIRUN, last_folders, last_overrides, places_jobs, swept

# A row may choose only these keys. All others are the study's, so that rows can be compared.
ROW_KEYS = ("bridge", "budget")
PLACE = ("study", "paths.runs")


def added_row(study: Path, row: Sequence[str]) -> list[str]:
    """Return the arguments of `bridgelab train` that add a row to a study.

    Args:
        study: its folder.
        row: overrides that choose the row's bridge, and where its jobs run. The study's multirun.yaml may be anybody's, so its launcher
            is not taken.
    Raises:
        UsageError: if an override is not of the row, chooses no bridge, or it is not known how the study was trained.
    """
    launcher = [one for one in row if places_jobs(one)]
    row = [one for one in row if one not in launcher]
    for one in row:
        if group_of(one) not in ROW_KEYS:
            raise UsageError(
                f"{one}: a row is compared with rows that are trained alike, so only its bridge may differ. Give keys of "
                f"{' and '.join(ROW_KEYS)} and hydra/launcher, or train another study: bridgelab train study=NAME {shlex.quote(one)}"
            )
    keys = [key_of(one) for one in row]
    if not {"bridge", OWN} & set(keys):
        raise UsageError(
            f"{' '.join(row)} chooses no bridge. Give bridge=NAME (bridgelab bridges lists them) or bridge._target_=MODULE.CLASS."
        )
    trained = last_overrides(study)
    if not trained:
        raise UsageError(
            f"{study} has no {MULTIRUN}, so how its runs were trained is not known. Repeat their command with this bridge: bridgelab train "
            f"-m {shlex.quote(f'study={quoted(study.absolute().name)}')} KEY=VALUE ... {shlex.join(row)}"
        )
    # A budget that the command line gave to all rows is the new one's too.
    same = [one for one in trained if group_of(one) != "bridge" and key_of(one) not in (*PLACE, *keys)]
    same = _with_all_seeds(study, same)
    sweeps = not any(one.startswith("experiments=") for one in same)
    base = [] if "bridge" in keys else [BASE]  # whose keys a class of one's own starts from
    here = Path(os.path.abspath(study))  # not resolved: a link to a study keeps its own name
    place = [f"study={quoted(here.name)}"]
    if here.parent != Path(RUNS).absolute():
        place.append(f"paths.runs={quoted(str(here.parent))}")
    folders = last_folders(study)
    command = [*folders, *(["-m"] if sweeps else []), *launcher, *same, *base, *row, *place]
    if foreign := next((one for one in [*folders, *same] if _is_foreign(one)), None):
        raise UsageError(
            f"{study / MULTIRUN} holds {foreign}, which may run code from outside bridgelab. If you trust its author, train the row "
            f"yourself: {shlex.join(['bridgelab', 'train', *command])}"
        )
    return command


def _with_all_seeds(study: Path, overrides: list[str]) -> list[str]:
    """Return the last sweep's overrides with the seeds of all finished runs, as that sweep may have added or repeated some alone.

    They stay as they are if its seeds are not written out, or data seeds were varied beside seeds.
    """
    last = swept(study).get("seed", [])
    written = any(key_of(one) == "seed" for one in overrides)
    if (written and not last) or not all(one.lstrip("-").isdecimal() for one in last):
        return overrides
    records = [read_record(run) for run in study.iterdir() if is_finished(run)]
    pairs = {(one["seed"], one.get("data_seed", one["seed"])) for one in records if "seed" in one}
    found, planned = {seed for seed, _ in pairs}, {int(one) for one in last}
    follows = all(seed == data_seed for seed, data_seed in pairs)
    if (
        found <= planned
        or (not planned and len(found) == 1)
        or not (follows or len({b for _, b in pairs}) == 1)
    ):
        return overrides
    every = f"seed={','.join(map(str, sorted(found | planned)))}"
    return [every if key_of(one) == "seed" else one for one in overrides] if written else [*overrides, every]


def _is_foreign(override: str) -> bool:
    """Return whether an override may lead to code or a config from outside bridgelab: multirun.yaml may be anybody's.

    Hydra keeps its own options and keys elsewhere, so none of a study's overrides is one.
    """
    key, _, value = override.lstrip("+~").partition("=")
    slot, dot, name = key.partition(".")
    if "_target_" in override and not (
        name == "_target_" and slot in SLOTS and value.startswith(SLOTS[slot].packages)
    ):
        return True
    return override.startswith("-") or slot.startswith("hydra") or "@" in key or (not dot and ".." in value)


def key_of(override: str) -> str:
    """Return the key of an override, without its sign."""
    return override.lstrip("+~").partition("=")[0]


def group_of(override: str) -> str:
    """Return the first part of an override's key, such as bridge of bridge.num_queries=4."""
    return key_of(override).partition(".")[0]
