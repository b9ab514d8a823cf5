"""A disk that is full, and one that may only be read: the run says so, and goes on to the same end when it can."""

import os
import shutil
import subprocess

import pytest

from bridgelab.training.checkpoint import newest_readable

pytestmark = pytest.mark.faults
PAGE = 4096  # bytes: the least that a file takes there


@pytest.fixture
def disk(tmp_path):
    """A file system of 16 MiB of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    at = tmp_path / "disk"
    at.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(at)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield at
    subprocess.run(["umount", "--lazy", str(at)], check=True)


def room(disk):
    """Bytes that are free."""
    told = os.statvfs(disk)
    return told.f_bavail * told.f_frsize


def test_a_full_disk_stops_a_run_that_goes_on_when_there_is_room(faulty, count, of_run, unlike, disk):
    """The disk fills up at ever later moments: while the world is drawn, in the search, in checkpoints, in the record."""
    before = room(disk)
    faulty.whole("run", disk / "run", disk)
    used = before - room(disk)
    expected = of_run(disk / "run")
    for path in disk.iterdir():
        shutil.rmtree(path)
    assert room(disk) == before
    step, phases = 0, []

    def with_room(free):
        nonlocal step
        filler = disk / "filler"
        filler.write_bytes(bytes(max(0, room(disk) - free)))
        status, phase, log = faulty.start("run", disk / "run", disk)
        filler.unlink()
        if status:
            assert "No space left on device" in log or "the disk must hold all" in log, log
            phases.append(phase)
            count("full disk", f"in {phase}")
            found = newest_readable(disk / "run") if (disk / "run").exists() else None
            assert (found[1] if found else 0) >= step, "a finished checkpoint was lost"
            step = found[1] if found else 0

    for share in (0.02, 0.4, 0.5):
        with_room(int(share * used))
    faulty.whole("features", disk, disk)
    for pages in (1, 3, 5, 8, 12, 20, 30, 40):
        with_room(pages * PAGE)
    assert {"world", "search", "checkpoint"} <= set(phases), phases
    faulty.whole("run", disk / "run", disk)
    assert unlike(of_run(disk / "run"), expected) == []
    count("restarts", "of runs", len(phases))
    count("ended equal to the uninterrupted", "runs")


def test_a_folder_that_can_only_be_read_is_told_and_left_as_it_was(faulty, count, of_run, unlike, disk):
    given = "train.lr=0.01"
    whole, home = disk / "whole", disk / "home"
    operations, _ = faulty.whole("run", whole / "run", whole, given)
    expected = of_run(whole / "run")
    middle = operations.index("checkpoint") + 5  # the first checkpoint is there
    phase = faulty.killed({"operation": middle}, "run", home / "run", home, given)
    assert phase is not None
    count("kill −9", f"in {phase}")

    def files():
        return {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}

    there = files()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, _, log = faulty.start("run", home / "run", home, given)
    assert status not in (0, -9)
    assert "Read-only file system" in log
    status, _, log = faulty.start("run", whole / "run", whole, given)
    assert status == 0, log  # what is finished needs nothing written
    assert files() == there
    count("read-only folder", "runs refused")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    faulty.whole("run", home / "run", home, given)
    assert unlike(of_run(home / "run"), expected) == []
    count("restarts", "of runs")
    count("ended equal to the uninterrupted", "runs")
