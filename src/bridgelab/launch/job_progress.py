"""How far a job is, in a few characters: its validation curve as a sparkline, and what it does now. Free of torch."""

import csv
from collections.abc import Sequence
from pathlib import Path

from bridgelab.launch.job import Begun
from bridgelab.runs.steps_done import read_steps_done

METRICS = "metrics.csv"
ACCURACY = "val/accuracy"
BLOCKS = "▁▂▃▄▅▆▇█"


def now_doing(one: Begun) -> str:
    """Return what a job does: '▁▃▅ 61 % 180/300' while it trains, 'lr=0.01 40/150' while it searches, else for how long it has run."""
    done = read_steps_done(one.job.folder)
    if done is None:
        return f"starting, {format_seconds(one.seconds)}"
    steps = "answering" if done.trained and done.step >= done.steps else f"{done.step}/{done.steps}"
    if not done.trained:
        return f"{done.label.partition(', warmup')[0]} {steps}"
    curve = accuracy_curve(one.job.folder)
    return f"{sparkline(curve)} {100 * curve[-1]:.0f} % {steps}" if curve else steps


def result(folder: Path) -> str:
    """Return the validation curve of a run that has ended and its first and last accuracy: '▁▃▅ 12.5 → 61.0 %'; empty without one."""
    curve = accuracy_curve(folder)
    if not curve:
        return ""
    first = f"{100 * curve[0]:.1f} → " if len(curve) > 1 else ""
    return f"{sparkline(curve)} {first}{100 * curve[-1]:.1f} %"


def accuracy_curve(folder: Path) -> list[float]:
    """Return the validation accuracies that a run has logged so far."""
    try:
        with open(folder / METRICS, newline="") as file:
            return [float(row[ACCURACY]) for row in csv.DictReader(file) if row.get(ACCURACY)]
    except (OSError, ValueError):  # none yet, or the last line is half written
        return []


def sparkline(shares: Sequence[float], most: int = 8) -> str:
    """Return the last `most` of some shares between 0 and 1 as one block each: '▁▃▅█'."""
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[min(top, max(0, int(share * len(BLOCKS))))] for share in shares[-most:])


def format_seconds(seconds: float) -> str:
    """Return a duration as '5 s', '2 min 5 s' or '3 h 2 min'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
