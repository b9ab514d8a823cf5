"""kill −9 at random moments: nothing that was finished is lost, and every restart ends as if nothing had been."""

import shutil
from itertools import count as numbers

import pytest

from bridgelab.data.features import maintenance
from bridgelab.training.checkpoint import newest_readable

pytestmark = pytest.mark.faults
KILLS = {"run": 36, "checkpoint": 8, "features": 10, "report": 8}


def step_of(folder):
    found = newest_readable(folder)
    return found[1] if found else 0


def test_a_run_ends_the_same(faulty, count, moments, of_run, unlike, tmp_path):
    """From nothing to the record: world, features, search, training, evaluation; killed again and again on its way."""
    home = tmp_path / "whole"
    operations, cpu = faulty.whole("run", home / "run", home)
    expected = of_run(home / "run")
    moment, kills = moments(operations, cpu), 0
    for number in numbers():
        home, step, restarts = tmp_path / f"killed{number}", 0, 0
        folder = home / "run"
        while kills < KILLS["run"]:
            phase = faulty.killed(next(moment), "run", folder, home)
            if phase is None:
                break
            kills, restarts = kills + 1, restarts + 1
            count("kill −9", f"in {phase}")
            assert step_of(folder) >= step, "a finished checkpoint was lost"
            step = step_of(folder)
        faulty.whole("run", folder, home)
        assert unlike(of_run(folder), expected) == []
        count("restarts", "of runs", restarts)
        count("ended equal to the uninterrupted", "runs")
        if kills == KILLS["run"]:
            return


def test_a_checkpoint_being_written_is_whole_or_the_former(faulty, count, moments, of_run, unlike, tmp_path):
    whole, folder, given = tmp_path / "whole" / "run", tmp_path / "killed" / "run", "train.lr=0.01"
    operations, cpu = faulty.whole("run", whole, whole, given, data=tmp_path)
    kills = step = 0
    for moment in moments(operations, cpu, "checkpoint"):
        if "cpu" in moment:
            continue
        if kills == KILLS["checkpoint"]:
            break
        phase = faulty.killed(moment, "run", folder, folder, given, data=tmp_path)
        if phase is None:
            shutil.rmtree(folder)
            step = 0
            continue
        kills += 1
        count("kill −9", f"in {phase}")
        count("restarts", "of runs")
        assert step_of(folder) >= step
        step = step_of(folder)
    faulty.whole("run", folder, folder, given, data=tmp_path)
    assert unlike(of_run(folder), of_run(whole)) == []
    count("ended equal to the uninterrupted", "runs")


def test_a_feature_build_ends_the_same(faulty, count, moments, of_features, unlike, tmp_path):
    whole, root = tmp_path / "whole", tmp_path / "killed"
    images = "benchmark.images={train:24,val:4,test:4}"

    def given(root):
        return [images, f"paths.features={root}"]

    faulty.whole("features", tmp_path, tmp_path, images)  # draws the world
    operations, cpu = faulty.whole("features", tmp_path, whole, *given(whole), data=tmp_path)
    expected = of_features(whole)
    assert len(expected) == 32
    moment, kills, rows = moments(operations, cpu), 0, 0
    while kills < KILLS["features"]:
        phase = faulty.killed(next(moment), "features", tmp_path, root, *given(root), data=tmp_path)
        if phase is None:
            assert unlike(of_features(root), expected) == []
            count("ended equal to the uninterrupted", "feature builds")
            shutil.rmtree(root)
            rows = 0
            continue
        kills += 1
        count("kill −9", f"in {phase}")
        count("restarts", "of feature builds")
        there = of_features(root)
        assert len(there) >= rows, "a finished row was lost"
        rows = len(there)
    faulty.whole("features", tmp_path, root, *given(root), data=tmp_path)
    assert unlike(of_features(root), expected) == []
    assert maintenance.verify(root)[1] == []
    count("ended equal to the uninterrupted", "feature builds")


def test_a_report_ends_the_same(faulty, count, moments, of_report, unlike, tmp_path):
    study = tmp_path / "runs" / "toy"
    for bridge in ("linear", "mlp"):
        given = ("study=toy", f"bridge={bridge}", "train.lr=0.01")
        faulty.whole("run", study / f"bridge={bridge},seed=0", tmp_path, *given)
    operations, cpu = faulty.whole("report", study, study)
    expected = of_report(study)
    assert len(expected) == 3
    moment = moments(operations, cpu)
    for _ in range(KILLS["report"]):
        phase = faulty.killed(next(moment), "report", study, study)
        if phase is not None:
            count("kill −9", f"in {phase}")
            count("restarts", "of reports")
        assert unlike(of_report(study), expected) == [], "a finished report was lost"
    for path in expected:
        (study / path).unlink()
    faulty.whole("report", study, study)
    assert unlike(of_report(study), expected) == []
    count("ended equal to the uninterrupted", "reports")
