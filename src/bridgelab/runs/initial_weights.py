"""Which weights a run started from: the file of `bridge.init_from` by its content. Free of torch.

A config names a file by its path, so that its hash stays when the file is written again, as `bridgelab align` may do.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

INIT_FROM = "init_from"  # the key of what `initial_file` returns, in records, checkpoints and trials
DIGEST = 64  # characters of a SHA-256


def initial_file(config: Mapping[Any, Any]) -> str | None:
    """Return the file of a config's `bridge.init_from` as records hold it, `NAME@SHA256`; None if it names no file that is there."""
    bridge = config.get("bridge")
    source = bridge.get("init_from") if isinstance(bridge, Mapping) else None
    if not source or not Path(source).is_file():
        return None
    path = Path(source).resolve()
    status = path.stat()
    return f"{Path(source).name}@{_digest(path, status.st_mtime_ns, status.st_size)}"


@lru_cache(maxsize=64)
def _digest(path: Path, _changed: int, _size: int) -> str:
    """Return a file's SHA-256; computed once, as the jobs of a sweep share files of several hundred megabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other_weights(recorded: Any, config: Mapping[Any, Any]) -> str | None:
    """Return the file of a config's `bridge.init_from` if what was recorded came from another content of it, otherwise None.

    A file that is gone says nothing: what was trained from it stands.

    Args:
        recorded: `NAME@SHA256`, as a record, a checkpoint or a trial holds it; None if it holds none.
        config: of the run that would use it.
    """
    before, now = str(recorded or "").rpartition("@")[2], initial_file(config)
    if now is None or len(before) != DIGEST:  # from before digests were recorded
        return None
    return now if before != now.rpartition("@")[2] else None
