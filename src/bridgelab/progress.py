"""How far a long task is: a bar on a terminal, else a line now and then, with the rate and the time left."""

import logging
import sys
import time
from typing import Any

EVERY = 10.0  # seconds between two lines, at least
SOON = 1.0  # seconds after which a bar is shown: what is over by then needs none
log = logging.getLogger(__name__)


class Progress:
    """Shown while it is entered.

    Args:
        label: what is done, such as 'encoding'.
        total: of how many.
        unit: what is counted.
    """

    def __init__(self, label: str, total: int, unit: str = "images"):
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        self._began = self._said = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int) -> None:
        """So many are done."""
        self.done, now = done, time.monotonic()
        if self._terminal:
            if self._bar is None and now - self._began >= SOON:
                self._bar = self._start_bar()
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=done, rate=self._rate(now))
        elif now - self._said >= EVERY:
            self._said = now
            left = (self.total - done) * (now - self._began) / max(done, 1)
            log.info("%s: %d of %d, %s, %.0f s left", self.label, done, self.total, self._rate(now), left)

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
