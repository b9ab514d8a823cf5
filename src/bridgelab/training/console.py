"""What a run says to whoever started it: lines without tracebacks, one for an error, a summary in the end. Free of torch."""

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

# What code raises on purpose, naming a value, the rule and the fix; anything else is a surprise, whose traceback is shown.
TOLD = (ValueError, OSError, MemoryError, FloatingPointError)
log = logging.getLogger(__name__)


class WithoutTraceback(logging.Formatter):
    """A record's message alone: its traceback is left to the log file."""

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter`."""
        bare = {"exc_info": None, "exc_text": None, "stack_info": None}
        return super().format(logging.makeLogRecord(record.__dict__ | bare))


def shown(path: Path) -> str:
    """A path as short as it can be from the working folder, quoted for a shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def tell_failure(error: Exception, directory: Path) -> None:
    """Log an error with its traceback; the terminal's last line is the error, `<type>: <message>`, as a traceback's would be."""
    log.exception("failed; the traceback is in %s", shown(directory / "train.log"))
    if isinstance(error, TOLD):
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    else:
        traceback.print_exc()


def summary(metrics: Mapping[str, float], directory: Path) -> list[str]:
    """What a finished run found, where its record is, and what to do next.

    Args:
        metrics: of the record; of those by tag (`test/accuracy/hops=2`) nothing is said.
        directory: the run's.
    """
    named = {
        "test/accuracy": "accuracy {} on test",
        "test/majority": "{} for the most frequent answer",
        "test_shuffled/accuracy": "{} with another image's patches",
        "test_captioned/accuracy": "{} from its own caption",
    }
    if "test/accuracy" in metrics:
        said = [text.format(f"{100 * metrics[k]:.1f} %") for k, text in named.items() if k in metrics]
    else:
        whole = [name for name in metrics if name.startswith("test/") and "=" not in name]
        said = [f"{name} {metrics[name]:.4f}" for name in whole[:3]]
    return [
        ", ".join(said) or "done",
        f"record: {shown(directory)}{os.sep}metrics.json",
        f"next: bridgelab report {shown(directory.parent)}",
        f'  or: bridgelab answer {shown(directory)} IMAGE "QUESTION"',
    ]
