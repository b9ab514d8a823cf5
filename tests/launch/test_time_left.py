"""The time left of a sweep counts steps: against sweeps of known length, seen while they run."""

from io import StringIO
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from bridgelab.launch.header import print_header
from bridgelab.launch.job import ActiveJob, Job
from bridgelab.launch.job_grid import rows_and_seeds, short_names
from bridgelab.launch.job_progress import activity, now_doing, result, sparkline
from bridgelab.launch.planned_steps import Work, planned_work
from bridgelab.launch.pool_progress import PoolProgress
from bridgelab.launch.pool_view import PoolView
from bridgelab.launch.sweep_check import SweepJob
from bridgelab.launch.time_left import TimeLeft
from bridgelab.runs.steps_done import StepsDone, forget_steps, read_steps_done
from bridgelab.training import main
from bridgelab.training.callbacks import count_steps

LOGGED = "[2026-11-29 11:59:00,000][bridgelab.world.write][INFO] - {}\n"
STEP = {"linear": 0.2, "qformer": 0.1}  # seconds
BESIDE, TRAINED, SEARCHED = 20.0, 300, 450


def jobs():
    return [
        Job(Path(f"bridge={bridge},seed={seed}"), [], Work(bridge, TRAINED, SEARCHED))
        for seed in range(3)
        for bridge in STEP
    ]


class Sweep:
    """A sweep in one slot, of which every second is known: the first job of a bridge searches, all train and answer."""

    def __init__(self):
        self.spans, self.begins, at = [], {}, 0.0
        for job in jobs():
            bridge, first = job.work.search, job.folder.name.endswith("seed=0")
            searched = SEARCHED * STEP[bridge] if first else 0.0
            self.begins[job.name] = at
            self.spans.append((job, at, searched, TRAINED * STEP[bridge]))
            at += searched + TRAINED * STEP[bridge] + BESIDE
        self.total = at

    def estimate(self, now):
        left, running, waiting = TimeLeft(slots=1), [], []
        for job, begin, searched, trained in self.spans:
            passed, step = now - begin, STEP[job.work.search]
            if passed < 0:
                waiting.append(job)
                continue
            in_search, in_training = min(passed, searched), min(max(0.0, passed - searched), trained)
            timed = round((in_search + in_training) / step)
            searching, training = round(in_search / step), round(in_training / step)
            done = StepsDone(
                searched=searching, trained=training, timed=timed, seconds=in_search + in_training
            )
            left.count(job, done)
            if passed >= searched + trained + BESIDE:
                left.end(job, searched + trained + BESIDE)
            else:
                running.append((job, passed))
        return left.seconds(running, waiting)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.5, 0.75, 0.95])
def test_the_time_left_is_near_the_truth_from_the_first_search_on(share):
    """By the mean of jobs, as they end, it was three times as long at first: the first jobs hold the searches."""
    sweep = Sweep()
    truth = (1 - share) * sweep.total
    # Until the Q-Former has begun it is taken for as slow as linear; then only what stands beside the steps is estimated.
    assert sweep.estimate(share * sweep.total) == pytest.approx(truth, rel=0.6 if share < 0.3 else 0.15)
    # What the first job took, for each of the others.
    by_jobs = 5 * (SEARCHED * STEP["linear"] + TRAINED * STEP["linear"] + BESIDE)
    assert by_jobs > 1.4 * (sweep.total - sweep.begins["bridge=qformer,seed=0"])


def test_two_slots_halve_it_and_the_longest_job_bounds_it():
    all_jobs = jobs()
    first, others = all_jobs[:2], all_jobs[2:]
    one, two = TimeLeft(slots=1), TimeLeft(slots=2)
    for job in first:
        for left in (one, two):
            left.count(job, StepsDone(searched=SEARCHED, trained=100, timed=10, seconds=1.0))
    running = [(job, 10.0) for job in first]
    assert two.seconds(running, others) == pytest.approx(one.seconds(running, others) / 2)
    assert two.seconds(running[:1], []) == one.seconds(running[:1], []) > 20
    assert two.seconds([], []) == 0


def test_nothing_is_said_before_anything_is_measured():
    first, *others = jobs()
    assert TimeLeft(2).seconds([(first, 3.0)], others) is None
    unknown = [Job(Path(name), []) for name in "abc"]  # of another program, whose steps are not known
    left = TimeLeft(1)
    assert left.seconds([], unknown) is None
    left.end(unknown[0], 10.0)
    left.count(unknown[1], None)
    assert left.seconds([(unknown[1], 4.0)], unknown[2:]) == 6.0 + 10.0


@pytest.mark.parametrize(
    "overrides",
    [
        ("bridge=linear", "train.lr=0.01", "train.budgets=[0.5]"),
        ("bridge=words", "train.lr=0.01", "train.budgets=[]"),
        ("bridge=words", "text.adapt=prompt", "train.lr=0.01", "train.budgets=[0.5]"),
        ("bridge=linear", "train.lr=null", "tune.extend=0", "train.budgets=[]", "tune.steps=10"),
        ("bridge=linear", "train.lr=null", "tune.extend=0", "train.budgets=[]", "tune.steps=10", "tune.finalists=1"),
        ("bridge=linear", "train.lr=null", "tune.extend=0", "train.budgets=[0.5]", "train.schedule.shape=warmup_stable_decay", "tune.warmups=[0.1]"),
    ],
)  # fmt: skip
def test_the_planned_steps_are_those_that_a_run_trains(tiny, config, tmp_path, monkeypatch, overrides):
    monkeypatch.setattr(count_steps, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(count_steps.StepsFile, "remove", lambda self: None)
    given = config("train.steps=20", *overrides)
    run = tmp_path / "s" / overrides[0]
    main.run(given, run, bridge=given.bridge._target_)
    done, planned = read_steps_done(run) or StepsDone(), planned_work(given)  # plain words train nothing
    assert done.trained == pytest.approx(planned.trained, abs=1)
    assert done.searched == pytest.approx(planned.searched, abs=len(given.tune.lrs) + 2)
    assert done.timed == done.trained + done.searched
    assert (done.step, done.seconds > 0) == (done.steps, planned.trained > 0)


def test_a_run_that_is_done_leaves_no_count(tiny, config, tmp_path):
    run = tmp_path / "s" / "bridge=linear"
    main.run(config("bridge=linear", "train.lr=0.01"), run, bridge="linear")
    assert not (run / "progress.json").exists()


@pytest.fixture
def pool(tmp_path):
    """A pool in which one job is done, one searches, one has failed and one is run by another process."""
    all_jobs = [Job(tmp_path / job.folder, [], job.work) for job in jobs()]
    for job in all_jobs:
        job.folder.mkdir()
    done, running, failed, held, *_ = all_jobs
    (done.folder / "metrics.csv").write_text("step,val/accuracy\n0,0.1\n10,\n20,0.55\n30,nan\n40,0.95\n")
    (done.folder / "metrics.json").write_text("{}")
    StepsDone("lr=0.01, warmup=0.05", step=40, steps=150, searched=40, timed=40, seconds=4).write(
        running.folder
    )
    progress = PoolProgress(len(all_jobs), slots=2)
    progress.end(done, 65.0)
    progress.failures[failed.name] = "x"
    now = [ActiveJob(running, 0.4)]
    progress.look(now, all_jobs[3:])
    return PoolView(all_jobs, "metrics.json", progress), now, [held]


def shown(pool, width):
    view, running, held = pool
    console = Console(file=StringIO(), width=width, height=30)
    console.print(view.render(console, running, held))
    return console.file.getvalue().splitlines()


def test_the_view_is_a_grid_of_rows_and_seeds(pool):
    lines = shown(pool, 100)
    counts = next(number for number, line in enumerate(lines) if "1 done, 1 failed, 4 left, about " in line)
    assert lines[counts + 1].split() == ["seed", "0", "seed", "1", "seed", "2"]
    linear, qformer = (next(line for line in lines if line.startswith(name)) for name in STEP)
    assert linear.split() == ["linear", "val", "10.0", "→", "95.0", "%", "▁▅█", "failed", "·"]
    assert qformer.split() == ["qformer", "lr=0.01,", "step", "40/150", "by", "another", "process", "·"]
    assert max(map(len, lines)) <= 100
    assert pool[0].progress.line(pool[1]).endswith("left: bridge=qformer,seed=0 lr=0.01, step 40/150")


def test_a_view_without_room_for_the_grid_lists_what_runs(pool):
    assert "  bridge=qformer,seed=0  lr=0.01, step 40/150" in [line.rstrip() for line in shown(pool, 60)]


def test_a_job_that_trains_shows_its_curve(pool):
    _, (running,), _ = pool
    StepsDone(step=180, steps=300, trained=180).write(running.job.folder)
    (running.job.folder / "metrics.csv").write_text("step,val/accuracy\n60,0.3\n120,0.6\n180,0.6")
    assert "step 180/300, val 60 % ▃▅▅" in "".join(shown(pool, 100))
    assert now_doing(running, 22) == "step 180/300, val 60 %"
    assert now_doing(running, 18) == "180/300, val 60 %"
    StepsDone(step=300, steps=300, trained=300).write(running.job.folder)
    assert "answering, val 60 % ▃▅▅" in "".join(shown(pool, 100))
    running.job.log.write_text(LOGGED.format("answering: 128 of 1,000, answer, image, 9 s left"))
    assert now_doing(running) == "answering: 128 of 1,000, val 60 % ▃▅▅"
    (running.job.folder / "progress.json").unlink()
    (running.job.folder / "metrics.json").write_text("{}")  # the process has not ended yet
    assert now_doing(running) == "finishing, val 60 % ▃▅▅"


@pytest.mark.parametrize("logged", [LOGGED, "[11:59:00] {}\n"], ids=["train.log", "console"])
def test_a_job_that_has_no_steps_yet_shows_what_it_logged_last(pool, logged):
    _, (running,), _ = pool
    (running.job.folder / "progress.json").write_text("{")  # half written
    assert "starting, 0 s" in "".join(shown(pool, 100))
    running.job.log.write_text(
        logged.format("drawing train: 1,200 of 3,500, 9.8 images/s, 9 s left")
        + logged.format("nothing, so far")
    )
    assert now_doing(running) == "drawing train: 1,200 of 3,500"
    assert (
        activity(ActiveJob(running.job, 0.0, running.job.log.stat().st_size)) == ""
    )  # of an earlier attempt
    running.job.log.rename(running.job.folder / "train.log")  # as on Slurm
    assert now_doing(running) == "drawing train: 1,200 of 3,500"
    with (running.job.folder / "train.log").open("a") as log:
        log.write(logged.format("the config of it is in its config.yaml"))
    assert now_doing(running) == "starting, 0 s"
    forget_steps(running.job.folder)
    assert not (running.job.folder / "progress.json").exists()


def test_the_header_says_what_where_and_how_long(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(file=StringIO(), width=100)
    question = "Which [bridge] is " + 40 * "very " + "good?"
    of = []
    for number, job in enumerate(jobs()):
        bridge = {"init_from": "hf://a/b@c"} if job.work.search == "qformer" else {}
        config = OmegaConf.create({"question": question, "bridge": bridge})
        of.append(SweepJob(number, (), config, Path("runs/s") / job.folder, job.work))
    print_header(console, of, "2 at a time", "log.txt")
    first, *folded, end = (line.rstrip() for line in console.file.getvalue().splitlines()[:-4])
    assert first.startswith("s      Which [bridge] is very very")
    assert end.endswith("very good?")
    assert all(line.startswith(7 * " ") for line in [*folded, end])
    lines = [None, *(line.rstrip() for line in console.file.getvalue().splitlines()[-4:])]
    assert max(map(len, console.file.getvalue().splitlines())) <= 100
    assert lines[1] == "jobs   6, 2 at a time: linear; qformer × seeds 0, 1, 2"
    assert lines[2] == "start  random initialization, trained from scratch; hf://a/b@c"
    assert lines[3].startswith(f"time   {6 * TRAINED + 2 * SEARCHED:,} training steps;")
    assert lines[4] == "logs   runs/s/*/log.txt; from another terminal: bridgelab status runs/s"
    of[0].folder.mkdir(parents=True)
    (of[0].folder / "metrics.json").touch()  # its search is over, too
    print_header(console, of, "2 at a time", "log.txt")
    assert f"time   {5 * TRAINED + SEARCHED:,} training steps;" in console.file.getvalue()


def test_names_and_sparklines():
    names = [
        f"bridge=mlp,budget.tokens={tokens},seed={seed},train.steps=5"
        for tokens in (4, 16)
        for seed in (0, 1)
    ]
    assert list(rows_and_seeds(names).values()) == [
        (f"mlp, budget.tokens={tokens}", seed) for tokens in (4, 16) for seed in "01"
    ]
    assert rows_and_seeds(["data_seed=2,seed=1"]) == {"data_seed=2,seed=1": ("data_seed=2,seed=1", "1 2")}
    own = "+bridge.width=32,bridge._target_=mine.Bridge,bridge=linear,seed=0"
    assert list(rows_and_seeds(["bridge=linear,seed=0", own]).values()) == [
        ("linear", "0"),
        ("mine.Bridge", "0"),
    ]
    wider = own.replace("32", "64")
    assert list(short_names(["bridge=mlp,bridge.depth=3", own]).values()) == [
        "bridge=mlp,bridge.depth=3",
        "bridge=mine.Bridge,seed=0",
    ]
    assert short_names([own, wider])[wider] == "bridge=mine.Bridge,bridge.width=64,seed=0"
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"


def test_the_sparkline_and_the_arrow_have_the_same_ends():
    curve = [0.0, *(30 * [0.5]), 1.0]
    assert sparkline(curve) == "▁▅▅▅▅▅▅█"
    assert result(curve) == "val 0.0 → 100.0 % ▁▅▅▅▅▅▅█"
    assert result(curve, 20) == "val 0.0 → 100.0 %"
    assert (result([0.25]), result([])) == ("val 25.0 % ▃", "")
