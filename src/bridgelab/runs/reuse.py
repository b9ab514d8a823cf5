"""Reuse a finished run instead of doing it again: one of another study, or of another seed if nothing is trained. Free of torch."""

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.atomic import atomic_path, write_text
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.identity import (
    INDIFFERENT,
    NOT_IDENTITY,
    claim,
    config_hash,
    refuse_another,
    refuse_other_data,
)
from bridgelab.runs.initial_weights import other_weights
from bridgelab.runs.locks import locked
from bridgelab.runs.own_code import OWN_CODE, other_code
from bridgelab.runs.record_schema import read_config, read_record, regular

log = logging.getLogger(__name__)

MAX_HASH = 64  # characters of a config's hash
# Files of training, evaluation and diagnosis. The first one marks a directory as a copy from the moment it is claimed.
FILES = ("predictions.parquet", "metrics.csv", "last.ckpt", "diagnosis.json")


def find_finished_run(directory: Path, config: DictConfig, studies: Sequence[Path]) -> Path | None:
    """Return a finished run of the same config in another study, or None if there is none or the directory has been begun.

    Args:
        directory: the run's directory.
        config: the run's config.
        studies: folders of other studies, in order of preference.
    Raises:
        ValueError: if one of the folders does not exist.
    """
    if (directory / "config.hash").exists():
        cut_short = (directory / FILES[0]).exists() and not is_finished(directory)
        if not cut_short:
            return None
    for study in studies:
        if not study.is_dir():
            raise ValueError(
                f"paths.reuse={study} is not a folder. Give studies whose runs are to be reused, such as runs/first_look, or null."
            )
        for run in sorted(path.parent for path in study.glob("*/metrics.json")):
            try:
                if _has_config(run, config):
                    return run
            except (ValueError, OSError) as error:
                log.warning("not reused: %s", error)
    return None


def _has_config(run: Path, config: DictConfig) -> bool:
    """Return whether a run has this config apart from the study's name.

    Raises:
        ValueError: if its record is malformed, its data lie in another folder than this config's, or a file to copy is not a regular file.
        OSError: if a file can't be read.
    """
    claimed = run / "config.hash"
    if not claimed.exists():
        return False
    written, record = regular(claimed).read_text()[:MAX_HASH].strip(), read_record(run)
    if not _shares_seeds(record, config):  # before its config is read, which takes longer
        return False
    if written not in _hashes(config, record) | _hashes(_as_done(run, config), record):
        return False
    if other_weights(record.get("init_from"), config) or other_code(record.get(OWN_CODE), config):
        return False
    # The hash is of the text of benchmark.root, which may have an environment variable in it.
    refuse_other_data(run, config)
    _files(run)
    return True


def _shares_seeds(record: dict, config: DictConfig) -> bool:
    return all(record.get(key, config.get(key)) == config.get(key) for key in ("seed", "data_seed"))


def _as_done(run: Path, config: DictConfig) -> DictConfig:
    """Return a config with the run's own values of the keys in which configs of one run may differ, all but the place of its data."""
    done, written = config.copy(), read_config(run)
    for key in INDIFFERENT:
        if key == "benchmark.root" or OmegaConf.select(config, key) is None:
            continue
        if (value := OmegaConf.select(written, key)) is not None:
            OmegaConf.update(done, key, value, merge=False)
    return done


def _files(run: Path) -> list[Path]:
    """Return the files to copy.

    Raises:
        ValueError: if one is not a regular file.
    """
    files = [run / name for name in FILES if os.path.lexists(run / name)]
    for file in files:
        regular(file)
    return files


def _hashes(config: DictConfig, record: dict) -> set[str]:
    """Return the hashes to look for: of this config in the record's study, and also without a `budget.tokens` that changes nothing."""
    # `trained_in` marks a run that was evaluated on another benchmark.
    if "study" not in record or "trained_in" in record:
        return set()
    renamed = config.copy()
    renamed.study = record["study"]
    hashes = {config_hash(renamed)}
    # A record of words counts the words' own tokens too.
    tokens, words = renamed.budget.tokens, record.get("sees") == "words"
    if tokens is not None and not words and tokens == record.get("costs", {}).get("visual_tokens"):
        renamed.budget.tokens = None
        hashes.add(config_hash(renamed))
    return hashes


def copy_finished_run(run: Path, directory: Path, config: DictConfig, *, bridge: str) -> None:
    """Copy a finished run into a directory, with this study's question and verdict, and the name of the original run.

    Args:
        run: the result of `find_finished_run`.
        directory: the directory of the run that needs no training.
        config: the config of that run.
        bridge: the bridge's name in that run.
    Raises:
        ValueError: if the directory holds a run of another config, or a file of the run is not a regular file.
    """
    files = _files(run)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        if is_finished(directory):  # by another process in the meantime
            return
        refuse_another(directory, config)  # before any file is replaced
        for file in files:
            with atomic_path(directory / file.name) as temporary:
                # A killed process may have left a link, and writing would change the linked file.
                temporary.unlink(missing_ok=True)
                # Checkpoints are large, and replaced rather than changed.
                if file.suffix == ".ckpt" and _linked(file, temporary):
                    continue
                shutil.copyfile(file, temporary)
        claim(directory, config)
        record = read_record(run)
        own = {
            "study": config.study,
            "question": config.question,
            "hypothesis": config.hypothesis,
            "overrides": directory.name,
            "bridge": bridge,
            "verdict": OmegaConf.to_container(config.verdict, resolve=True),
            "config_hash": config_hash(config),
            "taken_from": record.get("taken_from", f"{record['study']}/{run.name}"),
        }
        write_text(directory / RECORD, json.dumps(record | own, indent=1))


def _linked(file: Path, temporary: Path) -> bool:
    try:
        os.link(file, temporary)
    except OSError:  # on another disk, or a disk without links
        return False
    return True


def repeat_untrained(directory: Path, config: DictConfig, fingerprints: Mapping[str, str]) -> bool:
    """Copy the record of a run that trains nothing from another seed, and return whether there is one to copy.

    Without training, runs of different seeds have the same predictions.

    Args:
        directory: the run's directory, beside those of other seeds.
        config: the run's config.
        fingerprints: fingerprints of the frozen models and the data.
    """
    expected = _without_seeds(read_config(directory))
    for run in sorted(path.parent for path in directory.parent.glob("*/metrics.json")):
        try:
            record = read_record(run, ("costs", "fingerprints"))
            untrained = record["costs"].get("trainable_parameters") == 0
            alike = (
                untrained
                and record["fingerprints"] == fingerprints
                and _without_seeds(read_config(run)) == expected
            )
        except (ValueError, OSError) as error:
            log.warning("not looked at: %s", error)
            continue
        if alike:
            with atomic_path(directory / "predictions.parquet") as temporary:
                shutil.copyfile(regular(run / "predictions.parquet"), temporary)
            record.pop("taken_from", None)  # which concerns the other seed
            of_this = {"overrides": directory.name, "seed": config.seed, "data_seed": config.data_seed}
            own = record | of_this | {"config_hash": config_hash(config)}
            write_text(directory / RECORD, json.dumps(own, indent=1))
            return True
    return False


def _without_seeds(config: Any) -> dict[str, Any]:
    """Return a config without its seeds, and without what does not matter where nothing is trained."""
    without = ("seed", "data_seed", "trainer", *NOT_IDENTITY)
    return {key: value for key, value in config.items() if key not in without}
