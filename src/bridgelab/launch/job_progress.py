"""How far a job is, in a few characters: what it does now, and its validation accuracy with a sparkline. Free of torch."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

from bridgelab.launch.job import ActiveJob
from bridgelab.printable import printable
from bridgelab.runs.finished import RECORD
from bridgelab.runs.log import last_lines
from bridgelab.runs.record_schema import regular
from bridgelab.runs.steps_done import read_steps_done

METRICS = "metrics.csv"
BEGUN = "the config of "  # the line that an attempt of a run logs first
ACCURACY = "val/accuracy"
BLOCKS = "▁▂▃▄▅▆▇█"
ANSWERING = "answering"  # the log's word for the evaluation
WIDE = 80  # characters, in a line of its own
# A line of train.log, '[2026-11-29 11:59:00,000][bridgelab.world.write][INFO] - …', or of the console, '[11:59:00] …'.
LINE = re.compile(r"\[[\d:, -]+\](?:\[[\w.]+\]\[[A-Z]+\] -)? (?P<message>.*)")
# A logged message that tells what a run does begins like this: 'drawing train: 1,200 of 3,500, 9.8 images/s'.
ACTIVITY = re.compile(r"(?!nothing)[a-z]+ing\b")


def now_doing(one: ActiveJob, width: int = WIDE) -> str:
    """Return what a job does.

    That is 'step 180/300, val 61 % ▁▃▅' while it trains, and 'lr=0.01, step 40/150' while it searches. Before, it is what the job
    logged last, such as 'drawing train: 1,200 of 3,500', or for how long it has run.

    Args:
        one: the job.
        width: characters; where there are fewer, the sparkline goes first.
    """
    done, curve = read_steps_done(one.job.folder), accuracy_curve(one.job.folder)
    if one.job.wrote(RECORD):
        step = "finishing"
    elif done is None:
        return activity(one) or f"starting, {format_seconds(one.seconds)}"
    elif done.step < done.steps or not done.trained:
        step = f"step {done.step}/{done.steps}"
    else:
        logged = activity(one)
        step = logged if logged.startswith(ANSWERING) else ANSWERING
    if done and not done.trained:
        label = done.label.partition(", warmup")[0]
        return _fitting([f"{label}, {step}", f"{label} {done.step}/{done.steps}"], width)
    if not curve:
        return step
    accuracy = f"val {100 * curve[-1]:.0f} %"
    long = f"{step}, {accuracy}"
    return _fitting([f"{long} {sparkline(curve)}", long, long.removeprefix("step ")], width)


def result(curve: Sequence[float], width: int = WIDE) -> str:
    """Return the first and the last validation accuracy and the curve: 'val 12.5 → 61.0 % ▁▃▅'; empty without any.

    Args:
        curve: all validation accuracies of a run.
        width: characters; where there are fewer, the sparkline goes.
    """
    if not curve:
        return ""
    first = f"{100 * curve[0]:.1f} → " if len(curve) > 1 else ""
    accuracy = f"val {first}{100 * curve[-1]:.1f} %"
    return _fitting([f"{accuracy} {sparkline(curve)}", accuracy], width)


def activity(one: ActiveJob) -> str:
    """Return what a job last logged that it does, up to the first comma: 'encoding: 1,200 of 3,500'; empty if it logged nothing.

    A job of Slurm has its output elsewhere, so the log that any run writes is read too.
    """
    lines = last_lines(one.job.log, one.log_start) or last_lines(one.job.folder / "train.log")
    for line in reversed(lines):
        found = LINE.match(line)
        message = found["message"] if found else ""
        if message.startswith(BEGUN):
            break  # what precedes it is of an earlier attempt
        if ACTIVITY.match(message):
            return printable(message.partition(", ")[0])
    return ""


def accuracy_curve(folder: Path) -> list[float]:
    """Return the validation accuracies that a run has logged so far."""
    try:
        with regular(folder / METRICS).open(newline="") as file:
            found = [float(row[ACCURACY]) for row in csv.DictReader(file) if row.get(ACCURACY)]
    except (OSError, ValueError):  # none yet, or the last line is half written
        return []
    return [one for one in found if math.isfinite(one)]


def sparkline(shares: Sequence[float], most: int = 8) -> str:
    """Return shares between 0 and 1 as one block each: '▁▃▅█'. Of more than `most`, evenly spaced ones from the first to the last."""
    top, last = len(BLOCKS) - 1, len(shares) - 1
    points = shares if last < most else [shares[round(k * last / (most - 1))] for k in range(most)]
    return "".join(BLOCKS[min(top, max(0, int(share * len(BLOCKS))))] for share in points)


def format_seconds(seconds: float) -> str:
    """Return a duration as '5 s', '2 min 5 s' or '3 h 2 min'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def _fitting(forms: Sequence[str], width: int) -> str:
    """Return the first of some texts that fits, or the last."""
    return next((form for form in forms if len(form) <= width), forms[-1])
