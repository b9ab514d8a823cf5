import json
import re
from pathlib import Path

import numpy as np
import pytest

from bridgelab.report.diagnosis.record import (
    FILE,
    SINGLE_RUN,
    Diagnosis,
    Map,
    numbers_of,
    pooled_number,
    read_diagnoses,
    read_diagnosis,
    write_diagnosis,
)
from bridgelab.runs.run import Run
from bridgelab.statistics.contrast import Contribution
from bridgelab.statistics.estimate import Estimate, Runs, Sample


def estimate(value, influence):
    part = Contribution(np.array([value]), influence[None], np.arange(len(influence)), len(influence), 0.0)
    return Estimate(value, {SINGLE_RUN: part})


def written(images, influence):
    part = {"images": images, "influence": influence, "number": 2.0, "least": 0.0}
    return {"value": 1.0, "bounds": [None, None], "part": part}


def made(bridge="linear", seed=0, data_seed=0, questions=400, **numbers):
    return Diagnosis(
        bridge=bridge,
        seed=seed,
        data_seed=data_seed,
        benchmark="world",
        made_of={"config": "aa", "looked_at": {"questions": questions}},
        numbers=numbers or {"selection/visited": estimate(1.5, np.linspace(-0.1, 0.1, 5))},
        counts={"questions": 390},
        words=(("red", 0.25),),
        maps=(Map("q1", "red", np.eye(2), None), Map("q2", "blue", np.eye(2), np.full((2, 2), 0.25))),
        left_out={"clutter": "no world"},
    )


def test_what_is_written_is_read(tmp_path):
    assert read_diagnosis(tmp_path) is None
    write_diagnosis(tmp_path, made(a=Estimate(float("nan"), {}), b=estimate(0.5, np.array([-0.3, 0.3]))))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    found, whole = read_diagnosis(tmp_path), made()
    for name in ("bridge", "seed", "data_seed", "benchmark", "made_of", "counts", "words", "left_out"):
        assert getattr(found, name) == getattr(whole, name)
    assert np.isnan(found.numbers["a"].value)
    assert np.isnan(found.numbers["a"].interval).all()
    assert found.numbers["b"].interval == pytest.approx(estimate(0.5, np.array([-0.3, 0.3])).interval)
    assert found.maps[0].attention is None
    assert found.maps[1].attention.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert json.loads((tmp_path / FILE).read_text())["numbers"]["a"]["interval"] == [None, None]


def test_seeds_are_put_together_as_scores_are(tmp_path):
    """The mean of scores over seeds, from all scores and from what each run's file keeps of its own, has the same interval."""
    rng = np.random.default_rng(0)
    scores = rng.random((3, 200)) < np.array([0.5, 0.6, 0.8])[:, None]
    sample = Sample(range(200))
    expected = sample.mean(scores.astype(float), Runs((0, 0, 0)))
    runs = []
    for seed, row in enumerate(scores):
        write_diagnosis(tmp_path, made(seed=seed, a=sample.mean(row[None].astype(float), SINGLE_RUN)))
        runs.append(read_diagnosis(tmp_path))
    found = pooled_number(runs, "a")
    assert found.value == pytest.approx(expected.value)
    assert found.interval == pytest.approx(expected.interval, abs=1e-4)
    assert found.interval[1] - found.interval[0] > 0.15  # far above the images' part of one run, 0.13 / √3
    alone = pooled_number(runs[:1], "a")
    assert alone.interval == pytest.approx(runs[0].numbers["a"].interval)
    # Data seeds are the level above: two runs of one are averaged first.
    paired = pooled_number(
        [made(seed=k, data_seed=k // 2, a=run.numbers["a"]) for k, run in enumerate([*runs, runs[0]])], "a"
    )
    assert paired.contrast.num_runs == (2,)
    assert pooled_number([*runs, made(seed=3)], "a") is None  # a run has it not
    assert pooled_number(runs, "b") is None


def test_a_studys_diagnoses_are_those_of_its_rows_in_their_order(tmp_path, capsys):
    """Two levels of one bridge are no seeds of each other, and runs of another learning rate than the chosen one have no row."""
    runs = []
    for bridge, level, seed in (("mlp", "", 0), ("linear", "4", 1), ("linear", "4", 0), ("linear", "8", 0)):
        run = tmp_path / f"bridge={bridge},tokens={level},seed={seed}"
        for path in (run, Path(f"{run},train.lr=0.1")):
            path.mkdir()
            write_diagnosis(path, made(bridge, seed))
        runs.append(Run(run, {"bridge": bridge, "seed": seed}, {"tokens": level}))
    (tmp_path / "blind").mkdir()
    runs.append(Run(tmp_path / "blind", {"bridge": "blind", "seed": 0}))
    found = read_diagnoses(tmp_path, runs)
    assert {row: [run.seed for run in own] for row, own in found.items()} == {
        "mlp": [0], "linear, tokens=4": [0, 1], "linear, tokens=8": [0]
    }  # fmt: skip
    assert list(found) == ["mlp", "linear, tokens=4", "linear, tokens=8"]
    # Without rows no run is taken for another's seed.
    assert [len(own) for own in read_diagnoses(tmp_path, ()).values()] == [1] * 8
    write_diagnosis(runs[0].path, made("mlp", questions=10))
    # One run that was diagnosed again on fewer questions is left out, and told.
    assert list(read_diagnoses(tmp_path, runs)) == ["linear, tokens=4", "linear, tokens=8"]
    told = capsys.readouterr().err
    assert (
        "left out: the diagnosis of mlp, seed 0, was of {'questions': 10}, that of most runs of {'questions': "
        in told
    )


def test_estimates_of_a_dataclass():
    one = Estimate(1.0, {})
    assert numbers_of("a", {"b": one, "c": None, "d": 3}) == {"a/b": one}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (None, "is not JSON"),
        ({"version": 1}, "is of version 1, not 2"),
        ({"seed": "0"}, "holds seed='0'"),
        ({"words": [["red", "much"]]}, "holds words.0.1='much'"),
        ({"numbers": {"a": written([0, 1], [0.1])}}, "of unequal lengths"),
        ({"numbers": {"a": written([1, 0], [0.1, 0.2])}}, "images that do not ascend"),
        (
            {"maps": [{"id": "0", "said": "yes", "fall": [[1, 2], [3]], "attention": None}]},
            "of unequal lengths",
        ),
    ],
)
def test_a_malformed_record_is_told_and_the_others_are_read(tmp_path, capsys, change, told):
    for bridge in ("mlp", "linear"):
        (tmp_path / bridge).mkdir()
        write_diagnosis(tmp_path / bridge, made(bridge))
    file = tmp_path / "mlp" / FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change) if change else "{")
    with pytest.raises(
        ValueError, match=rf"diagnosis.json .*{re.escape(told)}.*Delete it and diagnose the run again"
    ):
        read_diagnosis(tmp_path / "mlp")
    assert list(read_diagnoses(tmp_path, ())) == ["linear"]
    assert told in capsys.readouterr().err
