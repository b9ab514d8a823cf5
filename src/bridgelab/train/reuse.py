"""Runs that another study has finished already: a study that shares rows with it needs no second training. Free of torch."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bridgelab.train.claim import claim, config_hash
from bridgelab.train.whole import whole

# What is a run's own; everything else in its folder is what training and evaluation left.
OWN = ("config.yaml", "config.hash", "metrics.json", "lock", "log.txt", "train.log")


def finished_elsewhere(directory: Path, config: DictConfig, studies: Sequence[Path]) -> Path | None:
    """A finished run of the same config, but for its study's name; None where there is none, or the directory has been begun.

    Args:
        directory: the run's own.
        config: of this run.
        studies: folders of others, in order of preference.
    Raises:
        ValueError: if one of the folders is not there.
    """
    for study in studies:
        if not study.is_dir():
            raise ValueError(
                f"paths.reuse={study} is no folder. Give studies whose runs are to be taken over, such as runs/first_look, or null."
            )
    if (directory / "config.hash").exists():
        return None
    for study in studies:
        for path in sorted(study.glob("*/metrics.json")):
            claimed = path.with_name("config.hash")
            if claimed.exists() and claimed.read_text().strip() in _hashes(
                config, json.loads(path.read_text())
            ):
                return path.parent
    return None


def _hashes(config: DictConfig, record: dict) -> set[str]:
    """What a config's hash would be as another run's: under its study's name, and without a budget that it keeps of itself."""
    renamed = config.copy()
    renamed.study = record["study"]
    found = {config_hash(renamed)}
    if renamed.budget.tokens is not None and renamed.budget.tokens == record["costs"]["visual_tokens"]:
        renamed.budget.tokens = None
        found.add(config_hash(renamed))
    return found


def take_over(run: Path, directory: Path, config: DictConfig) -> None:
    """Make the directory's record of a run's: with this study's question and verdict, and word of where it was taken from.

    Args:
        run: as `finished_elsewhere` found it.
        directory: of the run that needn't be trained.
        config: of the latter.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(run.iterdir()):
        if file.is_file() and file.name not in OWN and file.suffix != ".lock":
            with whole(directory / file.name) as aside:
                try:
                    os.link(file, aside)  # a checkpoint may be large; files are replaced, never written into
                except OSError:  # another disk, or one without links
                    shutil.copyfile(file, aside)
    record = json.loads((run / "metrics.json").read_text())
    own = {
        "study": config.study,
        "question": config.question,
        "hypothesis": config.hypothesis,
        "overrides": directory.name,
        "verdict": OmegaConf.to_container(config.verdict, resolve=True),
        "config_hash": config_hash(config),
        "taken_from": record.get("taken_from", f"{record['study']}/{run.name}"),
    }
    with whole(directory / "metrics.json") as aside:
        aside.write_text(json.dumps(record | own, indent=1))
    claim(directory, config)  # last: another process of the same run finds it finished, or not begun
