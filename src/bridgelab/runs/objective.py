"""The number that a run returns to Hydra, for sweepers that maximize it (Optuna, Ax, Nevergrad). Free of torch."""

import logging
from pathlib import Path

from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import FIX, read_record

log = logging.getLogger(__name__)


def objective(run: Path) -> float | None:
    """Return a finished run's last `val/accuracy`, or an alignment's mean R@1 both ways: between 0 and 1, higher is better.

    If val has captions alone, it is the geometric mean of a token's probability. It is None if the run is not finished, its
    record cannot be read, or nothing was trained, so that nothing was validated.

    Args:
        run: its folder.
    """
    if not is_finished(run):
        return None
    try:
        record = read_record(run)
        if record.get("stage") == "alignment":
            return (record["metrics"]["val/i2t_r1"] + record["metrics"]["val/t2i_r1"]) / 2
        curve = record["curve"]
    except KeyError as error:
        log.warning("%s: its record lacks %s, so a sweeper gets no number from it. %s", run, error, FIX)
        return None
    except (ValueError, OSError) as error:
        log.warning("%s", error)
        return None
    return float(curve[-1][1]) if curve else None
