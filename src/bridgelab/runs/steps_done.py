"""How many steps a run has trained so far, in `progress.json` of its folder while it trains. Free of torch."""

import contextlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from bridgelab.runs.record_schema import regular

FILE = "progress.json"


@dataclass
class StepsDone:
    """Steps of a run's process so far, over its searches, its training and its smaller budgets.

    Attributes:
        label: what is trained now, such as 'lr=0.01, warmup=0.05'.
        step: of that training.
        steps: of that training in all.
        searched: steps of trials, by this process.
        trained: steps of the run and of its smaller budgets, those of earlier attempts among them.
        timed: steps of this process.
        seconds: that these took.
    """

    label: str = ""
    step: int = 0
    steps: int = 0
    searched: int = 0
    trained: int = 0
    timed: int = 0
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Write the file if that is possible. A view alone reads it: it is not worth an fsync, nor a run that ends with a full disk."""
        temporary = folder / f"{FILE}.new"
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(asdict(self)))
            temporary.replace(folder / FILE)


def read_steps_done(folder: Path) -> StepsDone | None:
    """Return what a run's process wrote last; None if it wrote nothing, or nothing that can be read.

    The figures serve a view alone, so a broken file counts as none.
    """
    try:
        done = StepsDone(**json.loads(regular(folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    numbers = [value for name, value in asdict(done).items() if name != "label"]
    fit = all(type(value) in (int, float) and 0 <= value < math.inf for value in numbers)
    return done if fit and isinstance(done.label, str) else None


def forget_steps(folder: Path) -> None:
    """Delete what an earlier attempt left, which says nothing of the next one."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)
