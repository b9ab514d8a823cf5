"""The last step and the error of an unfinished run or job, from its logs. Free of torch."""

import csv
import os
import re
from pathlib import Path

from bridgelab.printable import printable
from bridgelab.runs.record_schema import MAX_RECORD, Malformed, regular

TAIL_LINES = 15  # lines shown of a log without an exception
TAIL_BYTES = 64 * 1024  # bytes read from the end of a log
RAISED = re.compile(r"[\w.]*(Error|Exception)(: |$)")  # an error that was logged without its traceback
LOGS = ("log.txt", "train.log")  # a sweep job's log, and the log that any run writes
# A line that a run in progress logs.
RUN_LINE = re.compile(r"\[(\d{4}-\d\d-\d\d |\d\d:\d\d:\d\d\] )|.*\bstep \d")
MAX_REASON = 160  # characters of a failure's reason
MAX_DIGITS = 16  # of a step


def failure(log: Path, start: int = 0, *, signalled: bool = False) -> tuple[str, list[str]]:
    """Return why a job failed, from its output in `log` after byte `start`.

    Args:
        signalled: a signal ended the job, so no exception in the log is the reason.
    Returns:
        `: <the last exception, with the first line of its message>`, or an empty string; and the lines to show, which are that
        exception with the place where it was raised, or the last lines.
    """
    lines = last_lines(log, start)
    place: str | None = None
    exception: list[str] = []
    inside = False  # a traceback, which ends with the exception, its first line that is not indented
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside, place = True, None
        elif inside and line.startswith('  File "'):
            place = line.strip()
        elif (inside and not line.startswith(" ")) or RAISED.match(line):
            exception = [line] + ([place] if place else [])
            inside, place = False, None
    return (f": {exception[0]}", exception) if exception and not signalled else ("", lines[-TAIL_LINES:])


def last_lines(log: Path, start: int = 0) -> list[str]:
    """Return the last lines of `log` after byte `start`, and of a progress bar its last state.

    Return an empty list if there is no log.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip().rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [line for line in lines if line]


def status(path: Path) -> str:
    """Return an unfinished run's status: its last step, and its error if nothing was logged after it."""
    step = _last_step(path / "metrics.csv")
    at = f", last logged at step {step}" if step else ""
    if (path / "not_finite.json").exists():
        return f"failed{at}: a loss or a gradient was not finite, see not_finite.json"
    for name in LOGS:
        if not (path / name).exists():
            continue
        log = regular(path / name)
        error, excerpt = failure(log)
        lines = last_lines(log)
        after = lines[len(lines) - lines[::-1].index(excerpt[0]) :] if error else []
        # Libraries may log after the error, as the process ends. Lines of a run mean that another attempt has begun.
        if error and not any(RUN_LINE.match(line) for line in after):
            return f"failed{at}{printable(error)[:MAX_REASON]}"
    return f"unfinished{at}"


def _last_step(log: Path) -> int:
    """Return the largest step in a log, or 0 if there is none. The last line may be incomplete."""
    if not log.exists():
        return 0
    with regular(log, MAX_RECORD).open(newline="", encoding="utf-8", errors="replace") as lines:
        try:
            steps = [row.get("step") or "" for row in csv.DictReader(lines)]
        except csv.Error as error:
            raise Malformed(f"{log} is not a table ({error}).") from error
    return max((int(step) for step in steps if step.isdecimal() and len(step) < MAX_DIGITS), default=0)
