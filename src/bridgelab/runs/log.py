"""What the log of a run or of a job says of its end."""

import os
import re
from pathlib import Path

TAIL_LINES = 15  # of a failed job's log, where it names no exception
LOOKED_AT = 64 * 1024  # bytes at its end
RAISED = re.compile(r"[\w.]*(Error|Exception)(: |$)")  # a line that a job ends with, told without a traceback


def failure(log: Path, start: int = 0, *, signalled: bool = False) -> tuple[str, list[str]]:
    """Why a job failed, from what it wrote to `log` after byte `start`.

    Args:
        signalled: a signal ended it, so that no exception in the log is why.
    Returns:
        `: <the last exception, with the first line of its message>`, or nothing where there is none; and what to show: that
        exception and where it was raised, or else the last lines.
    """
    lines = last_lines(log, start)
    where: str | None = None
    found: list[str] = []
    inside = False  # of a traceback, whose first line that is not indented is the exception
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside, where = True, None
        elif inside and line.startswith('  File "'):
            where = line.strip()
        elif (inside and not line.startswith(" ")) or RAISED.match(line):
            found = [line] + ([where] if where else [])
            inside, where = False, None
    return (f": {found[0]}", found) if found and not signalled else ("", lines[-TAIL_LINES:])


def last_lines(log: Path, start: int = 0) -> list[str]:
    """The end of `log` after byte `start`, of a progress bar's many states the last; nothing where there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - LOOKED_AT))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip().rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [line for line in lines if line]
