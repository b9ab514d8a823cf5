"""Progress of an evaluation in the log."""

import logging
import time

log = logging.getLogger(__name__)


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
