"""Ctrl-C: the first one ends a command cleanly, the second one immediately, both without a traceback. Free of torch."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it
_pressed = False


def handle() -> None:
    """Let the first Ctrl-C raise KeyboardInterrupt, and the next one end the process. If SIGINT is ignored, it stays so."""
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread may set handlers
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _first)


def exit_on_next() -> None:
    """Restore the system's default, so that the next Ctrl-C ends this process immediately."""
    global _pressed
    _pressed = True
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _first(number: int, frame: FrameType | None) -> None:
    again = _pressed  # a library may have restored this handler
    exit_on_next()
    if again:
        os.kill(os.getpid(), number)
    raise KeyboardInterrupt


@contextlib.contextmanager
def ignored_by_children() -> Iterator[None]:
    """Block SIGINT in processes started within, as a terminal sends Ctrl-C to all; their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
