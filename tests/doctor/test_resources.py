"""The arithmetic of predicted hours, memory and disk, on costs that are round numbers."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bridgelab.config.compose import Sweep, compose_sweep
from bridgelab.config.root import config_root
from bridgelab.data.features.shard import row_bytes, write_shard
from bridgelab.data.features.store_folder import store_name
from bridgelab.doctor import features_on_disk, resources
from bridgelab.doctor.check import MISSING, NOTE, OK, size
from bridgelab.doctor.costs import Answering, Costs, Memory
from bridgelab.doctor.features_on_disk import features_check, million_check, stored_share
from bridgelab.doctor.resources import Job, memory_check
from bridgelab.doctor.workload import Evaluation, Lengths, Workload

CPU = torch.device("cpu")
COSTS = Costs(
    step=2.0,
    flops=3 * 10**12,
    image=0.1,
    encoding=1e9,
    answering={"answer": Answering(1.0, 1.0, 1.0, 1e9), "choice": Answering(1.0, 0.0, 1.0)},
    memory=Memory(text=6e9, vision=1e9, trained=1e9, step=2e9),
)
ANSWERS = {"answer": Evaluation(10, Lengths(8, 1), 2)}


def dry_run(**changes):
    values = {"trained": 5, "batch_size": 4, "sees": "image", "vision": SimpleNamespace(dim=1024)}
    values["processes"] = 1
    return SimpleNamespace(patches=lambda images: 256, **values | changes)


def checks(sweep, workload, *, costs=COSTS, slots=1, at_once=1, **changes):
    job = Job(sweep.config, dry_run(**changes), workload, costs, at_once)
    return {check.subject: check for check in resources.hours(sweep, job, slots)}


def hours(*args, **kwargs):
    return {subject: check.detail for subject, check in checks(*args, **kwargs).items()}


@pytest.fixture
def config(composed):
    overrides = ("train.steps=100", "tune.steps=10", "tune.warmups=[0.05,0.1]", "train.val_points=5")
    return composed(*overrides, "train.budgets=[]")


def test_hours_add_up(config):
    lines = hours(Sweep(config, {}), Workload("", images=600, val=ANSWERS, test=ANSWERS))
    assert lines["a step"] == "2.0 s with 4 examples; 3 TFLOP an example"
    assert lines["training"] == "3.3 min: 100 steps"
    # Three rates and one more warm-up, at most two rates more: each 10 steps and one more for half of them, and after both a pass over
    # 10 examples without writing.
    assert (
        lines["tuning"]
        == "4.1 min to 6.2 min: 4–6 trials of 10 steps, and of half as many, once for all seeds"
    )
    assert lines["validation"] == "2.5 min: 5 times"  # 5 × 10 × (1 + 2 × 0.5 + 1)
    assert lines["evaluation"] == "60 s: 10 × 2 of answer"
    assert lines["encoding"] == "60 s: once for all runs with this ViT"
    assert lines["one run"] == "12 min to 14 min in all"  # 60 + 248 … 372 + 200 + 150 + 60


def test_processes_share_answers_and_none_of_a_trial(config):
    workload = Workload("", images=600, val=ANSWERS, test=ANSWERS)
    lines = hours(Sweep(config, {}), workload, processes=8)
    # A step of a trial is of the whole batch, 16 s: (10 + 1) × 16 + 2 × 20, four to six times.
    assert lines["tuning"].startswith("14 min to 22 min: 4–6 trials of 10 steps")
    assert lines["training"] == "3.3 min: 100 steps"
    assert lines["validation"] == "19 s: 5 times"  # 150 / 8
    assert lines["evaluation"] == "7.5 s: 10 × 2 of answer"  # 60 / 8
    # Three rates at once, up to two more in turn, then the warm-up.
    at_once = hours(Sweep(config, {}), workload, processes=8, at_once=8)
    assert at_once["tuning"].startswith("7.2 min to 14 min: 4–6 trials of 10 steps")
    config.tune.finalists = 2  # each at the same time
    halves = hours(Sweep(config, {}), workload, processes=8, at_once=8)
    # 2 to 4 times 5 × 16 + 20, and (5 + 1) × 16 + 20 once
    assert halves["tuning"].startswith("5.3 min to 8.6 min: 4–6 trials of 10 steps")
    alone = hours(Sweep(config, {}), workload, trained=0, processes=8)
    assert alone["evaluation"] == "60 s: 10 × 2 of answer"  # without training they never meet


@pytest.mark.parametrize(
    ("overrides", "jobs", "trials"),
    [
        (["trainer=ddp", "trainer.devices=8"], 2, 1),
        (["trainer=multinode"], 1, 16),
        (["trainer=ddp", "trainer.devices=8", "hydra/launcher=slurm"], 2, 8),
    ],
)
def test_trials_run_at_once_where_all_processes_are_started_at_once(conf, overrides, jobs, trials):
    sweep = compose_sweep(conf, [*overrides, f"seed={','.join(map(str, range(jobs)))}"])
    processes = sweep.config.trainer.devices * sweep.config.trainer.num_nodes
    assert resources.trials_at_once(sweep, processes) == trials


def test_a_sweep_on_the_cpu_is_predicted_for_as_many_slots_as_it_has(conf, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    for trainer, most, slots in (("cpu", "null", 2), ("gpu", "null", 1), ("cpu", 8, 3)):
        sweep = compose_sweep(conf, [f"trainer={trainer}", "seed=0,1,2", f"hydra.launcher.slots={most}"])
        assert resources.use_slots(sweep, CPU) == slots
        assert resources.sharing_memory(sweep, CPU, slots) == slots
        assert resources.sharing_memory(sweep, torch.device("cuda"), slots) == 1


@pytest.mark.parametrize(("limit", "slots"), [(32, 6), (4, 4), ("null", 6)])
def test_a_sweep_on_slurm_is_predicted_for_as_many_jobs_as_it_may_run(conf, limit, slots):
    launcher = ("hydra/launcher=slurm", f"hydra.launcher.array_parallelism={limit}")
    sweep = compose_sweep(conf, [*launcher, "bridge=linear,qformer", "seed=0,1,2"])
    assert resources.use_slots(sweep, CPU) == slots
    assert resources.sharing_memory(sweep, CPU, slots) == 1


def test_smaller_budgets_cost_their_cool_downs_and_a_validation_each(composed):
    config = composed("train.lr=0.01", "train.steps=100", "train.val_points=5", "train.budgets=[0.25,0.5]")
    lines = hours(Sweep(config, {}), Workload("", val=ANSWERS))
    # 100 + 5 + 10 steps of 2 s.
    assert lines["training"] == "3.8 min: 100 steps, and 15% of them for 2 smaller budgets"
    assert lines["validation"] == "3.5 min: 7 times"


def test_a_sweep_multiplies(config):
    sweep = Sweep(config, {"seed": 3, "bridge": 2, "train.steps": 1})
    lines = hours(sweep, Workload("", images=600, val=ANSWERS, test=ANSWERS), slots=2)
    # 60 + 2 × 248 … 372 + 6 × 410, at two slots
    assert lines["the sweep"].startswith(
        "25 min to 27 min: 6 jobs (2 bridges × 1 train.steps × 3 seeds), 2 searches, 2 at a time"
    )


def test_a_sweep_takes_no_less_than_one_of_its_jobs(config):
    sweep = Sweep(config, {"seed": 2})
    lines = hours(sweep, Workload("", images=600, val=ANSWERS, test=ANSWERS), slots=2)
    assert lines["one run"] == "12 min to 14 min in all"
    assert lines["the sweep"].startswith("12 min to 14 min: 2 jobs (2 seeds), 1 search, 2 at a time")


def test_what_is_given_is_not_searched_for(composed):
    config = composed("train.lr=0.01", "train.steps=100", "evaluate.shuffled=false")
    choices = {"choice": Evaluation(10, Lengths(8, 1), 0, choices=4)}
    lines = hours(Sweep(config, {}), Workload("", images=10, test=choices))
    assert "tuning" not in lines
    assert lines["evaluation"] == "50 s: 10 × 1 of choice"  # read once, four choices scored


def test_captions_are_written_first_where_they_are_read(composed):
    config = composed("train.lr=0.01", "evaluate.captioned=x", "evaluate.shuffled=false")
    answering = {"answer": Answering(1, 0, 0), "caption": Answering(1, 9, 0)}
    costs = replace(COSTS, answering=answering)
    kinds = {"answer": Evaluation(10, Lengths(8, 1), 1), "caption": Evaluation(5, Lengths(8, 9), 9)}
    lines = hours(Sweep(config, {}), Workload("", images=10, test=kinds, captioned=3), costs=costs)
    assert lines["evaluation"] == "100 s: 10 × 2 of answer, 5 × 1 of caption"  # 20 + 50, and 3 × 10


def test_captions_alone_are_scored_in_a_validation(composed):
    config = composed("train.lr=0.01", "train.val_points=5", "train.budgets=[]")
    captions = {"caption": Evaluation(10, Lengths(8, 9), 9)}
    costs = replace(COSTS, answering={"caption": Answering(1.0, 9.0, 1.0)})
    lines = hours(Sweep(config, {}), Workload("", val=captions), costs=costs)
    assert lines["validation"] == "100 s: 5 times"  # 5 × 10 × (1 + 1)


@pytest.mark.parametrize(("steps", "trained"), [(100, 0), (0, 5)])
def test_nothing_is_trained_for_words_or_without_steps(config, steps, trained):
    config.train.steps = steps
    workload = Workload("", images=600, val=ANSWERS, test=ANSWERS)
    lines = hours(Sweep(config, {}), workload, trained=trained)
    assert lines["one run"] == "2.0 min in all"  # 60 s of encoding and 60 s of evaluation
    assert not {"training", "tuning", "a step", "validation"} & set(lines)


def test_what_is_not_known_is_said(config):
    found = checks(Sweep(config, {}), Workload("nothing"))
    assert (found["evaluation"].status, found["evaluation"].fix) == (NOTE, "give examples=TRAIN+TEST")
    assert found["encoding"].detail == "100 s for 1,000 images"
    assert features_check(config, dry_run(), Workload("nothing")).detail.endswith("532 MB for 1,000")


def test_features_are_held_against_the_disk(config, monkeypatch):
    monkeypatch.setattr(features_on_disk, "disk_free", lambda folder: 50e9)
    gqa = features_check(config, dry_run(), Workload("", images=82_772))
    assert (gqa.status, gqa.detail) == (
        OK,
        "44 GB on disk for 82,772 images, each 532 kB (256 patches × 1024 in bfloat16); 50 GB free",
    )
    page = (config_root() / "docs" / "real_models.md").read_text()
    assert f"| {size(82_772 * row_bytes(256, 1024, 'bfloat16'))} for the features of 82,772 images |" in page
    more = features_check(config, dry_run(), Workload("", images=120_000))
    assert more.status == MISSING
    assert (
        more.fix
        == "set data.dtype=int8 (33 GB); or set paths.features to a larger disk, or data.features=online"
    )
    most = features_check(config, dry_run(), Workload("", images=10**6))
    assert most.fix == "set paths.features to a larger disk, or data.features=online"
    blind = dry_run(vision=None, sees="nothing")
    assert features_check(config, blind, Workload("", images=5)).detail == "none are kept"


@pytest.mark.parametrize(
    ("free", "fix"),
    [
        (2e12, "data.dtype=float32 fits"), (6e11, "data.dtype=bfloat16 fits"), (3e11, "data.dtype=int8 fits"),
        (2e11, "none fits: a larger disk, or data.features=online"),
    ],
)  # fmt: skip
def test_a_million_images_are_held_against_the_disk(config, monkeypatch, free, fix):
    """A row by hand: 256 × 1024 numbers of 4, 2 or 1 bytes, and 1024 means, variances and, for int8, scales of 4 bytes."""
    monkeypatch.setattr(features_on_disk, "disk_free", lambda folder: free)
    large = Workload("", images=100_001)
    (check,) = million_check(config, dry_run(), large)
    rows = [256 * 1024 * number + moments * 1024 * 4 for number, moments in ((4, 2), (2, 2), (1, 3))]
    assert rows == [1_056_768, 532_480, 274_432]
    assert check.detail.startswith("1.1 TB in float32, 532 GB in bfloat16, 274 GB in int8; ")
    assert (check.status, check.fix) == (NOTE, fix)
    config.data.features = "online"
    assert not list(million_check(config, dry_run(), large))


def test_a_million_images_are_of_no_interest_for_small_data_that_fit(config, monkeypatch):
    small = Workload("", images=100_000)  # 53 GB
    monkeypatch.setattr(features_on_disk, "disk_free", lambda folder: 54e9)
    assert not list(million_check(config, dry_run(), small))
    assert not list(million_check(config, dry_run(), Workload("")))
    monkeypatch.setattr(features_on_disk, "disk_free", lambda folder: 53e9)
    assert list(million_check(config, dry_run(), small))


def test_stored_features_are_not_counted_again(config, monkeypatch, tmp_path):
    monkeypatch.setattr(features_on_disk, "disk_free", lambda folder: 50e9)
    part = features_check(config, dry_run(), Workload("", images=1000, stored=0.75))
    assert part.detail.startswith("133 MB on disk for 250 images, each 532 kB")
    assert part.detail.endswith("; 750 of 1,000 images are stored already")
    every = features_check(config, dry_run(), Workload("", images=1000, stored=1.0))
    assert every.detail.startswith("1,000 of 1,000 images are stored already, each 532 kB")
    whole = hours(Sweep(config, {}), Workload("", images=600, test=ANSWERS, stored=1.0))
    assert whole["encoding"] == "nothing, all features are stored already"
    images = [f"{k:064x}" for k in range(4)]
    write_shard(
        tmp_path / store_name("ab" * 16, "bfloat16"), encoder="ab" * 16, dtype="bfloat16", images=images[:3],
        mean=np.zeros((3, 1024), np.float32), variance=np.ones((3, 1024), np.float32),
        features=np.zeros((3, 256, 1024), np.int16),
    )  # fmt: skip
    config.paths.features = str(tmp_path)
    workload = Workload("", images=4, image_hashes=images)
    assert stored_share(config, dry_run(), workload) == 0.75
    config.data.dtype = "float16"  # kept apart
    assert stored_share(config, dry_run(), workload) == 0.0


def test_features_that_are_not_kept_are_made_in_each_step(composed, monkeypatch):
    config = composed("train.lr=0.01", "data.features=online", "train.steps=100")
    lines = hours(Sweep(config, {}), Workload("", images=600, test=ANSWERS))
    assert lines["a step"].startswith("2.4 s with 4 examples")
    assert lines["evaluation"].startswith("62 s")
    assert "encoding" not in lines
    assert features_check(config, dry_run(), Workload("", images=5)).detail == "none are kept"


@pytest.mark.parametrize(("free", "mark"), [(20e9, OK), (10.5e9, MISSING)])
def test_memory_is_held_against_what_is_free(config, monkeypatch, free, mark):
    monkeypatch.setattr(resources, "memory_bytes", lambda: (64e9, free))
    check = memory_check(config, CPU, COSTS)
    assert check.status == mark
    assert check.detail.startswith(
        "10 GB: T5 6.0 GB, ViT 1.0 GB, bridge and optimizer 1.0 GB, a step 2.0 GB; "
    )


@pytest.mark.parametrize(
    ("jobs", "free", "fix"),
    [(1, 15e9, ""), (2, 15e9, "hydra.launcher.slots=1"), (4, 35e9, "hydra.launcher.slots=3"), (2, 25e9, "")],
)
def test_jobs_at_a_time_share_the_memory_of_a_cpu(config, monkeypatch, jobs, free, fix):
    monkeypatch.setattr(resources, "memory_bytes", lambda: (64e9, free))
    check = memory_check(config, CPU, COSTS, jobs)
    assert (check.status, check.fix) == (MISSING if fix else OK, fix)
    assert check.detail.startswith(
        f"{10 * jobs} GB for {jobs} jobs at a time, each 10 GB: " if jobs > 1 else "10 GB: "
    )


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, {"trainer.accumulate_grad_batches", "text.checkpointing"}),
        ({"answering": {"answer": Answering(1.0, 1.0, 1.0, 20e9)}}, {"evaluate.batch_size"}),
        ({"encoding": 20e9}, set()),
    ],
)
def test_what_is_advised_against_full_memory_is_of_the_phase_that_takes_most(
    config, monkeypatch, changes, keys
):
    monkeypatch.setattr(resources, "memory_bytes", lambda: (64e9, 9e9))
    costs = replace(COSTS, **changes)
    assert set(resources.FEWER) == set(costs.phases)
    fix = memory_check(config, CPU, costs).fix
    assert set(re.findall(r"\w+\.\w+", fix)) == keys
    assert ("ViT" in fix) == ("encoding" in changes)
