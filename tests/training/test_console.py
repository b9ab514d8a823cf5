from bridgelab.training import console


def test_a_surprise_shows_its_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        {}["some key"]
    except KeyError as error:
        console.report_failure(error, tmp_path / "a run")
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("\nKeyError: 'some key'\n")


def test_a_run_ends_with_what_it_found_and_what_to_do_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = {
        "test/majority": 0.4,
        "test/accuracy": 0.712,
        "test_shuffled/accuracy": 0.3549,
        "test/accuracy/hops=2": 0.1,
    }
    assert console.summary(metrics, tmp_path / "runs" / "a b" / "seed=0") == [
        "accuracy 71.2 % on test, 40.0 % for the most frequent answer, 35.5 % with another image's patches",
        "record: 'runs/a b/seed=0'/metrics.json",
        "next: bridgelab report 'runs/a b'",
        "  or: bridgelab answer 'runs/a b/seed=0' IMAGE \"QUESTION\"",
    ]  # fmt: skip
    # The blind floor can't be asked.
    assert "answer" not in str(console.summary(metrics, tmp_path, sees_images=False)[1:])
    assert console.summary(metrics, tmp_path, own_class=True)[-1].endswith('IMAGE "QUESTION" --trust')
    captions = {"test/cider": 0.5, "test/cider/objects=3": 1.0, "test_shuffled/cider": 0.1}
    assert console.summary(captions, tmp_path)[0] == "test/cider 0.5000"


def test_a_busy_machine_is_told_once_several_threads_would_wait(monkeypatch):
    monkeypatch.setattr(console.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(console.os, "getloadavg", lambda: (3.4, 0.0, 0.0))
    advice = console.busy_machine(2)
    assert "load 3.4 on 2 cores" in advice
    # A sweep sets the variable for its jobs itself.
    assert "set OMP_NUM_THREADS=1, or for a sweep hydra.launcher.threads=1; the run resumes" in advice
    assert console.busy_machine(1) is None
    monkeypatch.setattr(console.os, "getloadavg", lambda: (0.9, 0.0, 0.0))  # this program's own imports
    assert console.busy_machine(2) is None
