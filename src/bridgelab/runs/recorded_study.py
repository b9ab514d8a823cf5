"""Recorded studies: `experiments/records/STUDY.tar.xz` in the checkout, unpacked where a study is not there yet. Free of torch."""

import contextlib
import os
import tarfile
import tempfile
from pathlib import Path

FROM_SCRATCH = "published"  # whose bridges are trained from scratch, as a user-defined bridge must be


def record_of(study: str, root: Path) -> Path | None:
    """Return the archive with the runs of a study; None if there is none, as in an install from a wheel.

    Args:
        study: its name.
        root: the folder that holds `experiments/`, see `config.root`.
    """
    archive = root / "experiments" / "records" / f"{study}.tar.xz"
    return archive if archive.is_file() else None


def unpack(study: Path, root: Path) -> Path | None:
    """Unpack the recorded runs of a study as its folder, and return their archive; None if the folder exists or nothing is recorded."""
    archive = record_of(study.name, root)
    if study.exists() or archive is None:
        return None
    study.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=study.parent) as temporary:
        with tarfile.open(archive) as file:
            file.extractall(temporary, filter="data")
        with contextlib.suppress(OSError):  # another process has just unpacked it
            os.rename(Path(temporary) / study.name, study)
    return archive
