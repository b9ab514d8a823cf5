"""A run's checkpoints: `last.ckpt`, and the one before it in case a disk spoils the last."""

import logging
import zipfile
from pathlib import Path

import torch

from bridgelab.atomic import atomic_path
from bridgelab.model import BridgedModel
from bridgelab.training.lightning_module import BridgeTraining

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
log = logging.getLogger(__name__)


def has_checkpoint(directory: Path) -> bool:
    """Return whether a run has a checkpoint to resume from, readable or not."""
    return any((directory / name).exists() for name in (LAST, PREVIOUS))


def newest_readable(directory: Path) -> tuple[Path, int] | None:
    """Return a run's newest checkpoint that can be read, and its step; None if there is no checkpoint.

    Raises:
        ValueError: if there are checkpoints and none of them can be read.
    """
    problems = []
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            with zipfile.ZipFile(
                path
            ) as archive:  # torch itself does not compare the checksums that it writes
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")
            step = int(torch.load(path, map_location="cpu", weights_only=True)["global_step"])
        except Exception as error:  # a torn zip file raises whatever its reader does
            problems.append(f"{path} can't be read ({type(error).__name__}: {error})")
            continue
        if problems:
            log.warning("%s: resuming from %s, step %d", problems[0], path, step)
        return path, step
    if problems:
        raise ValueError(
            f"{'; '.join(problems)}: a run resumes only from an intact checkpoint. Move last.ckpt and previous.ckpt away to start from the "
            "beginning."
        )
    return None


def save_untrained(model: BridgedModel, identity: dict[str, str], path: Path) -> None:
    """Write a checkpoint of a bridge at its initialization, for commands that read a trained one."""
    module = BridgeTraining(model, optimizer=torch.optim.AdamW, schedule=lambda _: 1.0, identity=identity)
    checkpoint = {"state_dict": module.state_dict(), "global_step": 0}
    module.on_save_checkpoint(checkpoint)
    with atomic_path(path) as partial:
        torch.save(checkpoint, partial)
