"""Ctrl-C: the first ends a command in order, the next at once, and neither with a traceback. Free of torch."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it
_pressed = False


def take() -> None:
    """Let the first Ctrl-C raise KeyboardInterrupt, as Python does, and the next end the process; an ignored one stays ignored."""
    in_main = threading.current_thread() is threading.main_thread()  # no other thread may
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _first)


def next_at_once() -> None:
    """From here on Ctrl-C ends this process as the system does, whatever it is at."""
    global _pressed
    _pressed = True
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _first(number: int, frame: FrameType | None) -> None:
    again = _pressed  # a library may have put this handler back meanwhile
    next_at_once()
    if again:
        os.kill(os.getpid(), number)
    raise KeyboardInterrupt


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started in here do not hear Ctrl-C, which a terminal sends to all: who started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
