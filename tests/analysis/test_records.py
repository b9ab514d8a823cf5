"""Reading a study: what is there, what is missing, what may not be compared."""

import json

import pandas as pd
import pytest

from bridgelab.analysis.records import read_runs, read_study

SMALL = {"linear": {"exist": 0.7}, "mlp": {"exist": 0.7}, "words": {"exist": 0.9}}


def sweep(study, bridges, seeds):
    (study / "multirun.yaml").write_text(
        f"hydra: {{sweeper: {{params: {{bridge: '{bridges}'}}}}, overrides: {{task: ['seed={seeds}']}}}}"
    )


def test_reads_every_run(simulated):
    study = read_study(simulated.write(bridges=SMALL, images=4))
    assert [(run.bridge, run.seed) for run in study.runs] == [
        *[("linear", seed) for seed in range(3)], *[("mlp", seed) for seed in range(3)], ("words", 0)
    ]  # fmt: skip
    assert study.missing == ()  # words trains nothing, so one run is all there is
    assert len(study.of("linear")[0].predictions) == 12


def test_rows_stand_in_the_order_of_the_sweep(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    sweep(path, "words,mlp,linear", "0,1,2")
    assert read_study(path).bridges == ("words", "mlp", "linear")


def test_missing_cells_are_named(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    sweep(path, "linear,mlp,qformer,words", "0,1,2")
    (path / "bridge=mlp,seed=1" / "metrics.json").unlink()
    (path / "bridge=mlp,seed=1" / "metrics.csv").write_text("step,lr\n100,0.1\n400,0.1\n,\n5")
    (path / "bridge=mlp,seed=2" / "predictions.parquet").unlink()
    missing = [str(cell) for cell in read_study(path).missing]
    assert missing == [
        "bridge=mlp,seed=1: unfinished, last logged at step 400",
        "bridge=mlp,seed=2: metrics.json without predictions.parquet: delete the folder and run it again",
        *[f"bridge=qformer,seed={seed}: not started" for seed in range(3)],
    ]


def test_a_seed_that_only_one_bridge_has_is_missing_for_the_others(simulated):
    path = simulated.write(bridges=SMALL, images=4, seeds=(0, 1))
    for part in (path / "bridge=mlp,seed=1").iterdir():
        part.unlink()
    assert [str(cell) for cell in read_study(path).missing] == ["bridge=mlp,seed=1: not started"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"fingerprints": {"vision": "zz", "text": "bb"}},
            "fingerprints.vision='zz' in bridge=mlp,seed=1, but 'aa'",
        ),
        (
            {"benchmark": "clevr"},
            "benchmark='clevr' in bridge=mlp,seed=1, but 'world' in bridge=linear,seed=0",
        ),
        ({"examples_seen": 5}, "examples_seen=5 in bridge=mlp,seed=1, but 64000"),
        ({"mixture": {"answer": 1.0}}, r"mixture.answer=1.0 in bridge=mlp,seed=1, but 0.8"),
        ({"features_dtype": "float32"}, "features_dtype=.float32. in bridge=mlp,seed=1, but .bfloat16."),
        ({"tuned_over": [0.1]}, r"tuned_over=\[0.1\] in bridge=mlp,seed=1, but \[0.0003, 0.001, 0.003\]"),
    ],
)
def test_runs_that_differ_are_refused(simulated, change, values, message):
    path = simulated.write(bridges=SMALL, images=4)
    change(path / "bridge=mlp,seed=1", **values)
    with pytest.raises(ValueError, match=message) as error:
        read_study(path)
    assert "run the study again from one configuration" in str(error.value)


def test_rows_without_image_need_not_share_the_vision_model(simulated, change):
    path = simulated.write(bridges={"blind": {"exist": 0.5}, "words": {"exist": 0.9}}, images=4)
    change(path / "bridge=words,seed=0", fingerprints={"text": "bb"})
    assert len(read_study(path).runs) == 4
    change(path / "bridge=words,seed=0", fingerprints={"text": "other"})
    with pytest.raises(ValueError, match=r"fingerprints.text='other'"):
        read_study(path)


def test_the_vision_model_of_bridges_is_compared_beyond_rows_without_image(simulated, change):
    # 'blind' comes first and names another vision model: the two bridges are still compared with each other.
    path = simulated.write(bridges={"blind": {"exist": 0.5}, "linear": {"exist": 0.6}}, images=4)
    for seed in range(3):
        change(path / f"bridge=blind,seed={seed}", fingerprints={"text": "bb"})
    change(path / "bridge=linear,seed=2", fingerprints={"vision": "zz", "text": "bb"})
    with pytest.raises(ValueError, match=r"fingerprints.vision='zz' in bridge=linear,seed=2"):
        read_study(path)


def test_a_cell_has_one_run(simulated, change):
    path = simulated.write(bridges=SMALL, images=4)
    change(path / "bridge=mlp,seed=1", seed=0)
    with pytest.raises(ValueError, match="A cell has one run"):
        read_study(path)


def test_all_runs_answer_the_same_examples(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    file = path / "bridge=mlp,seed=1" / "predictions.parquet"
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    with pytest.raises(
        ValueError, match="1 examples were put to only one of bridge=linear,seed=0 and bridge=mlp"
    ):
        read_study(path)


def edited(file, **columns):
    pd.read_parquet(file).assign(**columns).to_parquet(file)


def test_malformed_records_are_refused(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    run = path / "bridge=mlp,seed=1"
    whole, record = pd.read_parquet(run / "predictions.parquet"), (run / "metrics.json").read_text()
    edited(run / "predictions.parquet", score=2.0)
    with pytest.raises(ValueError, match=r"score=2.0. A score lies between 0 and 1"):
        read_study(path)
    edited(run / "predictions.parquet", score=float("nan"))
    with pytest.raises(ValueError, match="holds score=nan"):
        read_study(path)
    edited(run / "predictions.parquet", id="same")
    with pytest.raises(ValueError, match="id 'same' twice"):
        read_study(path)
    whole.drop(columns="image").to_parquet(run / "predictions.parquet")
    with pytest.raises(ValueError, match="lacks the columns image"):
        read_study(path)
    (run / "metrics.json").write_text(record[:50])
    with pytest.raises(ValueError, match="is not JSON"):
        read_study(path)
    (run / "metrics.json").write_text(json.dumps({"bridge": "mlp"}))
    with pytest.raises(ValueError, match="lacks benchmark, fingerprints"):
        read_study(path)


def test_runs_that_cannot_be_compared_are_read_for_what_compares_nothing(simulated, change):
    study = simulated.write(images=2)
    change(study / "bridge=mlp,seed=1", examples_seen=5)
    with pytest.raises(ValueError, match="examples_seen=5"):
        read_study(study)
    runs, unfinished = read_runs(study)
    assert (len(runs), unfinished) == (19, [])


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a folder. A study is read from"):
        read_study(tmp_path / "none")
    (tmp_path / "bridge=mlp").mkdir()
    (tmp_path / "bridge=mlp" / "config.yaml").write_text("{}")
    with pytest.raises(FileNotFoundError, match="holds 0 finished runs and 1 unfinished"):
        read_study(tmp_path)
