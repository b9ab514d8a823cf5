"""A run is finished when its folder holds its record, which is written last. Free of torch."""

from pathlib import Path

RECORD = "metrics.json"


def is_finished(run: Path) -> bool:
    """Return whether a run's folder holds its record."""
    return (run / RECORD).exists()
