from bridgelab.launch import slurm as queue


def test_jobs_are_waited_for_until_they_leave_the_queue(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(queue, "PATIENCE", 0.05)
    folders = {name: tmp_path / name for name in ("1_0", "1_1", "1_2", "1_3")}
    for folder in folders.values():
        folder.mkdir()
    logs = {name: tmp_path / f"{name}.log" for name in folders}
    logs["1_1"].write_text("began\n\nKilled [red]\n")
    logs["1_3"].write_text("Traceback (most recent call last):\n  File 'x'\nOSError: no disk\nbye\n")
    seen = []

    def look():
        seen.append(1)
        if len(seen) == 2:
            raise RuntimeError("squeue: the controller is busy")
        if len(seen) == 3:
            (folders["1_0"] / "metrics.json").touch()
            return {"1_1": "RUNNING", "1_2": "PENDING", "9": "RUNNING"}
        if len(seen) < 5:
            return {"1_1": "RUNNING", "1_2": "RUNNING"} | ({"1_0": "RUNNING"} if len(seen) == 1 else {})
        if len(seen) == 6:  # written late, on a disk that shows it later still
            (folders["1_2"] / "metrics.json").touch()
        return {}

    failed = queue.wait(folders, logs, "metrics.json", look)
    why = "ended without writing metrics.json"
    assert sorted(failed) == [
        f"  1_1 (job 1_1) {why}; see {tmp_path}/1_1.log",
        f"  1_3 (job 1_3) {why}: OSError: no disk; see {tmp_path}/1_3.log",
    ]
    out = capsys.readouterr().out
    assert "1/4  1_0" in out
    assert "the controller is busy; asking again" in out
    assert "    Killed [red]" in out  # not taken as markup


def test_nothing_to_wait_for():
    assert queue.wait({}, {}, "metrics.json", lambda: {}) == []
