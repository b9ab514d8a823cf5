"""Whether one more row of a study can be compared with its others, checked before it is trained."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from bridgelab.cli.added_row import ROW_KEYS, group_of, key_of
from bridgelab.cli.arguments import UsageError
from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.run_name import OWN, bridge_of, overrides
from bridgelab.runs.sweep import factors, swept
from bridgelab.runs.warm_start_files import BLIND, WARM, warm_start_cards

CUT = "..."  # in the name of a run that is too long for a file


def check_name(study: Path, command: Sequence[str]) -> None:
    """Check that the report can tell the row from the study's others: it names a row by its bridge and by what the study varies.

    Args:
        study: its folder.
        command: the arguments of `bridgelab train` that add the row.
    Raises:
        UsageError: if the study has a row of the same bridge with other choices, or the command has several values of one.
    """
    from bridgelab.config.compose import lists

    given = {key_of(one): one.partition("=")[2] for one in command}
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
    """Check a user-defined class against the contract of a bridge, before images are drawn and anything is written to the study.

    Args:
        command: the arguments of `bridgelab train` that add the row.
    Raises:
        ValueError: if there is no such class, or it does not take a keyword.
        UsageError: if it breaks the contract.
    """
    if not any(key_of(one) == OWN for one in command):
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
    """Return a warning if a row is trained from scratch, and the study's other rows start from warm starts; else an empty string.

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
            f"{name} is trained from scratch. The other rows of {study} start from warm starts, which had seen {before} before. "
            "If this row is behind, that may be the reason, and not the bridge."
        )
    if config.bridge.init_from == WARM and all(card["target"] != config.bridge._target_ for card in cards):
        raise UsageError(
            f"{name} has no warm start, and the other rows of {study} start from theirs. Set it beside recorded rows that were trained "
            "from scratch: bridgelab study --add with the same keys and no STUDY_DIR. Or add bridge.init_from=null to train it here "
            f"from scratch: it then lacks {before} that the others had seen, so that a lag says little about the bridge. Or give it "
            "a warm start: train it as docs/training.md says, then bridgelab warm-starts STUDY_DIR."
        )
    return ""


def _composed(command: Sequence[str]) -> DictConfig:
    """Return the config of the first run that the arguments of `bridgelab train` give."""
    from bridgelab.cli.overrides import conf_folder
    from bridgelab.config.compose import compose_sweep

    return compose_sweep(conf_folder(), [one for one in command if not one.startswith("-")]).config


def _choices(values: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of a bridge and its budget, without the bridge itself, with values as they are in the name of a run."""
    return {
        key: re.sub(r"[\s'\"]", "", value).replace("/", "_")
        for key, value in values.items()
        if group_of(key) in ROW_KEYS and key not in ("bridge", OWN)
    }
