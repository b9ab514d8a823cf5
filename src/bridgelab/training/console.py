"""What a run prints on the terminal: lines without tracebacks, one line for an error, a summary. Free of torch."""

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from bridgelab.launch.slots import available_cores
from bridgelab.printable import shown

# Errors that are raised on purpose, with the value, the rule and the fix. Tracebacks of all others are shown.
EXPECTED = (ValueError, OSError, MemoryError, FloatingPointError)
log = logging.getLogger(__name__)


class WithoutTraceback(logging.Formatter):
    """A formatter that leaves tracebacks to the log file."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record without its traceback."""
        bare = {"exc_info": None, "exc_text": None, "stack_info": None}
        return super().format(logging.makeLogRecord(record.__dict__ | bare))


def report_failure(error: Exception, directory: Path, log_name: str = "train.log") -> None:
    """Log an error with its traceback. The terminal's last line is `<type>: <message>`, as it would be with a traceback."""
    log.exception("failed; the traceback is in %s", shown(directory / log_name))
    if isinstance(error, EXPECTED):
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    else:
        traceback.print_exc()


def summary(
    metrics: Mapping[str, float], directory: Path, *, sees_images: bool = True, own_class: bool = False
) -> list[str]:
    """Return lines with a finished run's results, where its record is, and what to do next.

    Args:
        metrics: of the record; those by tag (`test/accuracy/hops=2`) are left out.
        directory: the run's folder.
        sees_images: whether the bridge can be asked about an image.
        own_class: whether the bridge is a class from outside bridgelab, which is imported only if it is trusted.
    """
    templates = {
        "test/accuracy": "accuracy {} on test",
        "test/majority": "{} for the most frequent answer",
        "test_shuffled/accuracy": "{} with another image's patches",
        "test_captioned/accuracy": "{} from its own caption",
    }
    if "test/accuracy" in metrics:
        results = [text.format(f"{100 * metrics[k]:.1f} %") for k, text in templates.items() if k in metrics]
    else:
        overall = [name for name in metrics if name.startswith("test/") and "=" not in name]
        results = [f"{name} {metrics[name]:.4f}" for name in overall[:3]]
    lines = [
        ", ".join(results) or "done",
        f"record: {shown(directory)}{os.sep}metrics.json",
        f"next: bridgelab report {shown(directory.parent)}",
    ]
    if sees_images:
        trust = " --trust" if own_class else ""
        lines.append(f'  or: bridgelab answer {shown(directory)} IMAGE "QUESTION"{trust}')
    return lines


def busy_machine(threads: int) -> str | None:
    """Return advice for a run on the CPU that computes with several threads beside other programs; None if there is nothing to say.

    OpenMP's threads wait for each other after every operation. Beside other programs one of them always waits for a core: a step of 182 ms
    with one thread has been seen to take 3,313 ms with two. On an idle machine two are faster (91 and 144 ms).

    Args:
        threads: that torch uses.
    """
    cores = available_cores()
    load = os.getloadavg()[0]
    if threads < 2 or load + threads / 2 <= cores:
        return None
    return (
        f"this machine is busy (load {load:.1f} on {cores} cores), and {threads} threads that wait for each other can be many times slower "
        "than one: if steps are slow, stop with Ctrl-C and set OMP_NUM_THREADS=1, or for a sweep "
        "hydra.launcher.threads=1; the run resumes where it stopped"
    )
