"""Progress of a long task with its rate and the time left: a bar on a terminal, a log line now and then elsewhere."""

import logging
import sys
import time
from typing import Any

LINE_SECONDS = 10.0  # between two lines, at least
BAR_SECONDS = 1.0  # before a bar appears, so that short tasks show none
log = logging.getLogger(__name__)


class Progress:
    """Context manager that shows progress.

    Args:
        label: the task, such as 'encoding'.
        total: the number of units.
        unit: the plural of what is counted.
    """

    def __init__(self, label: str, total: int, unit: str = "images"):
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        self._began = self._printed = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int) -> None:
        """Set the number of units that are done."""
        self.done, now = done, time.monotonic()
        if self._terminal:
            if self._bar is None and now - self._began >= BAR_SECONDS:
                self._bar = self._start_bar()
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=done, rate=self._rate(now))
        elif now - self._printed >= LINE_SECONDS:
            self._printed = now
            left = (self.total - done) * (now - self._began) / max(done, 1)
            log.info(
                "%s: %s of %s, %s, %.0f s left",
                *(self.label, f"{done:,}", f"{self.total:,}", self._rate(now), left),
            )

    def _start_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        bar.add_task(self.label, total=self.total, rate="")
        bar.start()
        return bar

    def _rate(self, now: float) -> str:
        return f"{self.done / max(now - self._began, 1e-9):,.1f} {self.unit}/s"


class TenthsLog:
    """Log a line with the time left whenever another tenth of a task is done.

    Args:
        label: begins each line.
    """

    def __init__(self, label: str):
        self.label = label
        self._clocks: dict[str, float] = {}
        self._tenths: dict[str, int] = {}

    def __call__(self, task: str, done: int, total: int) -> None:
        """Report that `done` of `total` examples of a task are done."""
        clock = self._clocks.setdefault(task, time.monotonic())
        tenth = 10 * done // total  # batches seldom end on a tenth
        if tenth > self._tenths.get(task, 0):
            self._tenths[task], seconds = tenth, time.monotonic() - clock
            left = seconds / done * (total - done)
            log.info("%s: %d of %d, %s, %.0f s left", self.label, done, total, task, left)
