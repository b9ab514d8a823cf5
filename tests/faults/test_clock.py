"""The clock is set back in the middle of a run: no file's age and no time of day decides what is done."""

import os
import time

import pytest

from bridgelab.data.features import maintenance

pytestmark = pytest.mark.faults
YEAR = 365 * 86400.0


def test_a_clock_that_is_set_back_changes_nothing(faulty, count, of_run, of_features, unlike, tmp_path):
    """As the process sees it: `time.time` is a year behind, and every file there is was changed a year from now."""
    whole, home = tmp_path / "whole", tmp_path / "home"
    operations, _ = faulty.whole("run", whole / "run", whole)
    build, checkpoint = (operations.index(phase) for phase in ("feature build", "checkpoint"))
    for at in (build + 3, checkpoint - build + 7):  # the second has no world to draw
        phase = faulty.killed({"operation": at}, "run", home / "run", home)
        assert phase is not None
        count("kill −9", f"in {phase}")
        for path in home.rglob("*"):
            os.utime(path, (time.time() + YEAR,) * 2)
        rows = of_features(home)
        maintenance.prune(home / "features")
        assert of_features(home) == rows
    faulty.whole("run", home / "run", home, clock=-YEAR)
    assert unlike(of_run(home / "run"), of_run(whole / "run")) == []
    assert of_features(home) == of_features(whole)
    count("clock set back", "a year, after 2 kills")
    count("restarts", "of runs", 2)
    count("ended equal to the uninterrupted", "runs")
