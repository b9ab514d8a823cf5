"""The arithmetic of a plan, on costs that are round numbers."""

from types import SimpleNamespace

import pytest
import torch

from bridgelab.doctor import prediction as plan
from bridgelab.doctor.check import MISSING, NOTE, OK
from bridgelab.doctor.dry_run import Lengths
from bridgelab.doctor.measurement import Answering, Memory
from bridgelab.doctor.prediction import Costs, hours, room, storage
from bridgelab.doctor.sweep import Sweep
from bridgelab.doctor.workload import Kind, Volume

COSTS = Costs(
    step=2.0,
    image=0.1,
    answering={"answer": Answering(1.0, 0.5, 1.0), "choice": Answering(1.0, 0.0, 1.0)},
    memory=Memory(text=6e9, vision=1e9, trained=1e9, step=2e9, answers=1e9, encoding=1e9),
)
ANSWERS = {"answer": Kind(10, Lengths(8, 1), 2)}


def probe(**changes):
    rehearsal = SimpleNamespace(vision=SimpleNamespace(dim=1024), sees="image", patches=lambda images: 256)
    given = {"rehearsal": rehearsal, "device": torch.device("cpu"), "trained": 5, "batch_size": 4}
    return SimpleNamespace(**given | {"flops": lambda lengths: (10**12, 2 * 10**12)} | changes)


def found(findings):
    return {one.what: one.found for one in findings}


@pytest.fixture
def config(composed):
    overrides = ("train.steps=100", "tune.steps=10", "tune.warmups=[0.05,0.1]", "train.val_points=5")
    return composed(*overrides, "train.budgets=[]")


def test_hours_add_up(config):
    told = found(
        hours(Sweep(config, {}), probe(), Volume("", images=600, validated=ANSWERS, tested=ANSWERS), COSTS, 1)
    )
    assert told["a step"] == "2.0 s with 4 examples; the T5 computes 3 TFLOP an example"
    assert told["training"] == "3.3 min: 100 steps"
    # Three rates and one more warm-up, at most two rates more: each 10 steps and one more for half of them, and after both a pass over
    # 10 examples without writing.
    assert (
        told["tuning"]
        == "4.1 min to 6.2 min: 4–6 trials of 10 steps, and of half as many, once for all seeds"
    )
    assert told["validation"] == "2.5 min: 5 times"  # 5 × 10 × (1 + 2 × 0.5 + 1)
    assert told["evaluation"] == "60 s: 10 × 2 of answer"
    assert told["encoding"] == "60 s: once for all runs with this ViT"
    assert told["one run"] == "12 min to 14 min in all"  # 60 + 248 … 372 + 200 + 150 + 60


def test_smaller_budgets_cost_their_cool_downs_and_a_validation_each(composed):
    config = composed("train.lr=0.01", "train.steps=100", "train.val_points=5", "train.budgets=[0.25,0.5]")
    told = found(hours(Sweep(config, {}), probe(), Volume("", validated=ANSWERS), COSTS, 1))
    assert (
        told["training"] == "3.8 min: 100 steps, and 15% of them for 2 smaller budgets"
    )  # 100 + 5 + 10 steps of 2 s
    assert told["validation"] == "3.5 min: 7 times"


def test_a_sweep_multiplies(config):
    sweep = Sweep(config, {"bridge": 2, "seed": 3})
    told = found(hours(sweep, probe(), Volume("", images=600, validated=ANSWERS, tested=ANSWERS), COSTS, 2))
    # 60 + 2 × 248 … 372 + 6 × 410, at two slots
    assert told["the sweep"].startswith(
        "25 min to 27 min: 6 jobs (2 bridge × 3 seed), 2 searches, 2 at a time"
    )


def test_a_sweep_takes_no_less_than_one_of_its_jobs(config):
    sweep = Sweep(config, {"seed": 2})
    told = found(hours(sweep, probe(), Volume("", images=600, validated=ANSWERS, tested=ANSWERS), COSTS, 2))
    assert told["one run"] == "12 min to 14 min in all"
    assert told["the sweep"].startswith("12 min to 14 min: 2 jobs (2 seed), 1 searches, 2 at a time")


def test_what_is_given_is_not_searched_for(composed):
    config = composed("train.lr=0.01", "train.steps=100", "evaluate.shuffled=false")
    choices = {"choice": Kind(10, Lengths(8, 1), 0, choices=4)}
    told = found(hours(Sweep(config, {}), probe(), Volume("", images=10, tested=choices), COSTS, 1))
    assert "tuning" not in told
    assert told["evaluation"] == "50 s: 10 × 1 of choice"  # read once, four choices scored


def test_captions_are_written_first_where_they_are_read(composed):
    config = composed("train.lr=0.01", "evaluate.captioned=x", "evaluate.shuffled=false")
    costs = Costs(2.0, 0.1, {"answer": Answering(1, 0, 0), "caption": Answering(1, 1, 0)}, COSTS.memory)
    kinds = {"answer": Kind(10, Lengths(8, 1), 1), "caption": Kind(5, Lengths(8, 9), 9)}
    told = found(hours(Sweep(config, {}), probe(), Volume("", images=10, tested=kinds, asked=3), costs, 1))
    assert told["evaluation"] == "100 s: 10 × 2 of answer, 5 × 1 of caption"  # 20 + 50, and 3 × 10


def test_nothing_is_trained_for_words(config):
    told = found(hours(Sweep(config, {}), probe(trained=0), Volume("", images=600, tested=ANSWERS), COSTS, 1))
    assert not {"training", "tuning", "a step", "validation"} & set(told)


def test_what_is_not_known_is_said(config):
    findings = {one.what: one for one in hours(Sweep(config, {}), probe(), Volume("nothing"), COSTS, 1)}
    assert (findings["evaluation"].mark, findings["evaluation"].fix) == (NOTE, "give examples=TRAIN+TEST")
    assert findings["encoding"].found == "100 s for 1,000 images"
    assert storage(config, probe(), Volume("nothing")).found.endswith("524 MB for 1,000")


def test_features_are_held_against_the_disk(config, monkeypatch):
    monkeypatch.setattr(plan, "disk_free", lambda folder: 50e9)
    gqa = storage(config, probe(), Volume("", images=82_772))
    assert (gqa.mark, gqa.found) == (
        OK,
        "43 GB on disk: 82,772 images × 256 patches × 1024 × 2 bytes; 50 GB free",
    )
    more = storage(config, probe(), Volume("", images=120_000))
    assert more.mark == MISSING
    assert "paths.features" in more.fix
    blind = SimpleNamespace(vision=None, sees="nothing")
    assert storage(config, probe(rehearsal=blind), Volume("", images=5)).found == "none are kept"


def test_features_that_are_not_kept_are_made_in_each_step(composed, monkeypatch):
    config = composed("train.lr=0.01", "data.features=online", "train.steps=100")
    told = found(hours(Sweep(config, {}), probe(), Volume("", images=600, tested=ANSWERS), COSTS, 1))
    assert told["a step"].startswith("2.4 s with 4 examples")
    assert told["evaluation"].startswith("62 s")
    assert "encoding" not in told
    assert storage(config, probe(), Volume("", images=5)).found == "none are kept"


@pytest.mark.parametrize(("free", "mark"), [(20e9, OK), (10.5e9, MISSING)])
def test_memory_is_held_against_what_is_free(config, monkeypatch, free, mark):
    monkeypatch.setattr(plan, "memory_bytes", lambda: (64e9, free))
    told = room(config, probe(), COSTS)
    assert told.mark == mark
    assert told.found.startswith("10 GB: T5 6.0 GB, ViT 1.0 GB, bridge and optimizer 1.0 GB, a step 2.0 GB; ")
