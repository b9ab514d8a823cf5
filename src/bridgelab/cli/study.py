"""`bridgelab study --add`: train one more row of a finished or recorded study, and set it beside the others."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from bridgelab.cli import train
from bridgelab.cli.arguments import Parser, UsageError, folder
from bridgelab.config.instantiate import SLOTS
from bridgelab.config.root import config_root
from bridgelab.launch.sweep_plan import REPORT_FOLLOWS
from bridgelab.printable import shown
from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.recorded_study import FROM_NOTHING, unpack
from bridgelab.runs.sweep import (
    BASE,
    MULTIRUN,
    OWN,
    RUNS,
    bridge_of,
    factors,
    last_overrides,
    overrides,
    quoted,
    swept,
)
from bridgelab.runs.warm_start_files import BLIND, WARM, warm_start_cards

# A row may choose only these keys. All others are the study's, so that rows can be compared.
ROW_KEYS = ("bridge", "budget")
PLACE = ("study", "paths.runs")
CUT = "..."  # in the name of a run that is too long for a file


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab study",
        description="Train one more bridge as the bridges of a finished study were trained, for all of the study's seeds, and print the "
        "study's report with it. Runs that are recorded are not trained again.",
        epilog="Example: bridgelab study --add bridge=c_abstractor; your own: --add bridge._target_=my_module.MyBridge",
    )
    parser.add_argument(
        "study", type=Path, nargs="?", default=Path(RUNS) / FROM_NOTHING, metavar="STUDY_DIR",
        help="the study's folder (default: runs/published, whose bridges are trained from nothing); if it does not exist, its recorded "
        "runs are unpacked from experiments/records",
    )  # fmt: skip
    parser.add_argument(
        "--add", nargs="+", required=True, metavar="KEY=VALUE", help="the bridge: bridge=NAME, and further keys of bridge and budget"
    )  # fmt: skip
    options = parser.parse_args(args)
    if archive := unpack(options.study, config_root()):
        print(f"{options.study} did not exist: its recorded runs were unpacked from {shown(archive)}.")
    study = folder(options.study)
    command = added_row(study, options.add)
    check_name(study, command)
    check_own_class(command)
    if warning := check_start(study, command):
        print(warning)
    os.environ[REPORT_FOLLOWS] = "1"
    with _kept(study / MULTIRUN):
        train.run(command)
    from bridgelab.report.write import report

    report(study)


def added_row(study: Path, row: Sequence[str]) -> list[str]:
    """Return the arguments of `bridgelab train` that add a row to a study.

    Args:
        study: its folder.
        row: overrides that choose the row's bridge.
    Raises:
        UsageError: if an override is not of the row, chooses no bridge, or it is not known how the study was trained.
    """
    for one in row:
        if _group(one) not in ROW_KEYS:
            raise UsageError(
                f"{one}: a row is compared with rows that are trained alike, so only its bridge may differ. Give keys of "
                f"{' and '.join(ROW_KEYS)}, or train another study: bridgelab train study=NAME {shlex.quote(one)}"
            )
    keys = [_key(one) for one in row]
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
    same = [one for one in trained if _group(one) != "bridge" and _key(one) not in (*PLACE, *keys)]
    sweeps = not any(one.startswith("experiments=") for one in same)
    base = [] if "bridge" in keys else [BASE]  # whose keys a class of one's own starts from
    here = Path(os.path.abspath(study))  # not resolved: a link to a study keeps its own name
    place = [f"study={quoted(here.name)}"]
    if here.parent != Path(RUNS).absolute():
        place.append(f"paths.runs={quoted(str(here.parent))}")
    command = [*(["-m"] if sweeps else []), *same, *base, *row, *place]
    if foreign := next((one for one in same if _is_foreign(one)), None):
        raise UsageError(
            f"{study / MULTIRUN} holds {foreign}, which may run code from outside bridgelab. If you trust its author, train the row "
            f"yourself: {shlex.join(['bridgelab', 'train', *command])}"
        )
    return command


def check_name(study: Path, command: Sequence[str]) -> None:
    """Check that the report can tell the row from the study's others: it names a row by its bridge and by what the study varies.

    Args:
        study: its folder.
        command: the arguments of `bridgelab train` that add the row.
    Raises:
        UsageError: if the study has a row of the same bridge with other choices, or the command has several values of one.
    """
    from bridgelab.config.compose import lists

    given = {_key(one): one.partition("=")[2] for one in command}
    own, bridges = _choices(given), (given.get(OWN) or given["bridge"]).split(",")
    names = [run.name for run in study.iterdir() if is_finished(run) and CUT not in run.name]
    varied = factors(swept(study), [*map(overrides, names)], [*map(bridge_of, names)])
    rule = "a table names a row by its bridge, so that two of one name could not be told apart"
    for key in own:
        if key not in varied and lists([f"{key}={given[key]}"]):
            raise UsageError(f"{key}={given[key]}: {rule}. Give one value.")
    for name in names:
        theirs = _choices(overrides(name))
        differing = [
            key for key in {**theirs, **own} if own.get(key) != theirs.get(key) and key not in varied
        ]
        if differing and bridge_of(name) in bridges:
            trained = ", ".join(
                f"with {key}={theirs[key]}" if key in theirs else f"without {key}" for key in differing
            )
            raise UsageError(
                f"{study} has a row of {bridge_of(name)} already, trained {trained}: {rule}. Move its runs to a study of their own first, "
                "or give a class of your own another name."
            )


def check_own_class(command: Sequence[str]) -> None:
    """Check a class of one's own against the contract of a bridge, before images are drawn and anything is written to the study.

    Args:
        command: the arguments of `bridgelab train` that add the row.
    Raises:
        ValueError: if there is no such class, or it does not take a keyword.
        UsageError: if it breaks the contract.
    """
    if not any(_key(one) == OWN for one in command):
        return
    from bridgelab.bridge.contract import check
    from bridgelab.config.instantiate import NOT_ARGUMENTS, check_arguments, target

    config = _composed(command)
    kind = target(config.bridge, "bridge")
    chosen = {str(key): value for key, value in config.bridge.items() if key not in NOT_ARGUMENTS}
    check_arguments(kind, chosen)
    broken = [result for result in check(kind, chosen) if result.problem]
    if broken:
        raise UsageError(
            f"{config.bridge._target_} breaks {len(broken)} of the contract's demands, first this: {broken[0].demand}: "
            f"{broken[0].problem} List all: bridgelab check-bridge {config.bridge._target_}"
        )


def check_start(study: Path, command: Sequence[str]) -> str:
    """Return a warning if a row is trained from nothing, and the study's other rows start from warm starts; else an empty string.

    Args:
        study: its folder.
        command: the arguments of `bridgelab train` that add the row.
    Raises:
        UsageError: if the row is to start from a warm start, and its bridge has none.
    """
    sources = [str(read_record(run).get("init_from", "")) for run in study.iterdir() if is_finished(run)]
    if not any(source.startswith(f"{WARM}:") for source in sources):
        return ""
    config = _composed(command)
    if config.bridge._target_ == BLIND or config.bridge.get("num_tokens") == 0:
        return ""  # a floor or ceiling is no rival: blind has no warm start anywhere, and plain words train nothing
    cards = warm_start_cards(config)
    seen = max((card["record"].get("examples_seen") or 0 for card in cards), default=0)
    before = f"up to {seen:,} examples" if seen else "the examples of a longer training"
    name = str(config.bridge._target_).rpartition(".")[2]
    if config.bridge.get("init_from") is None:
        return (
            f"{name} is trained from nothing. The other rows of {study} start from warm starts, which had seen {before} before. "
            "If this row is behind, that may be the reason, and not the bridge."
        )
    if config.bridge.init_from == WARM and all(card["target"] != config.bridge._target_ for card in cards):
        raise UsageError(
            f"{name} has no warm start, and the other rows of {study} start from theirs. Set it beside recorded rows that were trained "
            "from nothing: bridgelab study --add with the same keys and no STUDY_DIR. Or add bridge.init_from=null to train it here "
            f"from nothing: it then lacks {before} that the others had seen, so that a lag says little about the bridge. Or give it "
            "a warm start: train it as docs/training.md says, then bridgelab warm-starts STUDY_DIR."
        )
    return ""


def _composed(command: Sequence[str]) -> DictConfig:
    """Return the config of the first run that the arguments of `bridgelab train` give."""
    from bridgelab.cli.overrides import conf_folder
    from bridgelab.config.compose import compose_sweep

    return compose_sweep(conf_folder(), [one for one in command if not one.startswith("-")]).config


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


def _choices(values: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of a bridge and its budget, without the bridge itself, with values as they are in the name of a run."""
    return {
        key: re.sub(r"[\s'\"]", "", value).replace("/", "_")
        for key, value in values.items()
        if _group(key) in ROW_KEYS and key not in ("bridge", OWN)
    }


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _group(override: str) -> str:
    return _key(override).partition(".")[0]


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Restore a file afterwards: Hydra writes the added row's sweep in place of the study's."""
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)
