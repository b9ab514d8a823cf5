"""A run is finished when its record stands, which is written last."""

from pathlib import Path

RECORD = "metrics.json"


def is_finished(run: Path) -> bool:
    """Whether a run's folder holds its record."""
    return (run / RECORD).exists()
