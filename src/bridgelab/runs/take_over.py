"""Runs that another study has finished already: a study that shares rows with it needs no second training. Free of torch."""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.identity import claim, config_hash, refuse_another
from bridgelab.runs.locks import locked
from bridgelab.runs.record_schema import read_record, regular

# What training, evaluation and a look inside leave. The first marks a directory as taken from the moment that it is claimed.
HASH = 64  # characters of a config's hash, at most
log = logging.getLogger(__name__)
FILES = ("predictions.parquet", "metrics.csv", "last.ckpt", "diagnosis.json")


def finished_elsewhere(directory: Path, config: DictConfig, studies: Sequence[Path]) -> Path | None:
    """A finished run of the same config, but for its study's name; None where there is none, or the directory has been begun.

    Args:
        directory: the run's own.
        config: of this run.
        studies: folders of others, in order of preference.
    Raises:
        ValueError: if one of the folders is not there.
    """
    if (directory / "config.hash").exists():
        cut_short = (directory / FILES[0]).exists() and not is_finished(directory)
        if not cut_short:
            return None
    for study in studies:
        if not study.is_dir():
            raise ValueError(
                f"paths.reuse={study} is no folder. Give studies whose runs are to be taken over, such as runs/first_look, or null."
            )
        for run in sorted(path.parent for path in study.glob("*/metrics.json")):
            try:
                if _is_of(run, config):
                    return run
            except (ValueError, OSError) as error:
                log.warning("not taken over: %s", error)
    return None


def _is_of(run: Path, config: DictConfig) -> bool:
    """Whether a run is of this config, but for its study's name.

    Raises:
        ValueError: if its record is malformed, or a file that would be taken over is not a plain one.
        OSError: if it can't be read.
    """
    claimed = run / "config.hash"
    if not claimed.exists() or regular(claimed).read_text()[:HASH].strip() not in _hashes(
        config, read_record(run)
    ):
        return False
    _files(run)
    return True


def _files(run: Path) -> list[Path]:
    """What there is to take over.

    Raises:
        ValueError: if a file is not a plain one.
    """
    found = [run / name for name in FILES if os.path.lexists(run / name)]
    for file in found:
        if file.is_symlink():
            raise ValueError(f"{file} is a link, which may lead anywhere. Put the file itself in its place.")
        regular(file)
    return found


def _hashes(config: DictConfig, record: dict) -> set[str]:
    """What a config's hash would be as another run's: under its study's name, and without a budget that it keeps of itself."""
    if "study" not in record or "trained_in" in record:  # the latter is of a run put to another benchmark
        return set()
    renamed = config.copy()
    renamed.study = record["study"]
    found = {config_hash(renamed)}
    tokens, words = renamed.budget.tokens, record.get("sees") == "words"  # whose own are counted too
    if tokens is not None and not words and tokens == record.get("costs", {}).get("visual_tokens"):
        renamed.budget.tokens = None
        found.add(config_hash(renamed))
    return found


def take_over(run: Path, directory: Path, config: DictConfig, *, bridge: str) -> None:
    """Make the directory's record of a run's: with this study's question and verdict, and word of where it was taken from.

    Args:
        run: as `finished_elsewhere` found it.
        directory: of the run that needn't be trained.
        config: of the latter.
        bridge: its name there.
    Raises:
        ValueError: if the directory holds a run of another config, or a file of the run is not a plain one.
    """
    files = _files(run)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock"):
        if is_finished(directory):  # by another process, since it was looked for
            return
        refuse_another(directory, config)  # before anything of its is replaced
        for file in files:
            with atomic_path(directory / file.name) as aside:
                aside.unlink(missing_ok=True)  # left by a kill: what is linked must not be written into
                if file.suffix == ".ckpt" and _linked(
                    file, aside
                ):  # it may be large, and is only ever replaced
                    continue
                shutil.copyfile(file, aside)
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
        with atomic_path(directory / RECORD) as aside:
            aside.write_text(json.dumps(record | own, indent=1))


def _linked(file: Path, aside: Path) -> bool:
    try:
        os.link(file, aside)
    except OSError:  # another disk, or one without links
        return False
    return True
