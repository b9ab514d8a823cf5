import json
from pathlib import Path

import pandas as pd
import pytest

from bridgelab.data.features import FeatureStore
from bridgelab.train import main
from bridgelab.train.setting import Setting


@pytest.fixture
def run(tiny, config, tmp_path):
    """Trains a bridge on a world of its own, and gives its record and predictions."""

    def configured(*overrides):
        short = ("train.steps=4", "train.lr=0.001", "train.val_points=1", "evaluate.shuffled=false")
        return config(f"benchmark.root={tmp_path}/world", *short, *overrides)

    def trained(*overrides):
        folder = tmp_path / "runs" / ",".join(overrides)
        main.run(configured(*overrides), folder, bridge="x")
        return json.loads((folder / "metrics.json").read_text()), pd.read_parquet(
            folder / "predictions.parquet"
        )

    trained.config = configured
    return trained


def broken(tmp_path, split, number):
    path = tmp_path / "world" / "images" / split / f"CLEVR_{split}_{number:06d}.png"
    path.write_bytes(path.read_bytes()[:200])
    return str(path)


def test_a_broken_image_of_any_split_is_named_before_training(run, tmp_path, monkeypatch, caplog):
    setting = Setting(run.config(), "cpu")
    targets = [e.answers[0] for kind in setting.train_examples.values() for e in kind]
    strange = sum(bool(setting.text.unknown(target.split())) for target in targets)
    assert f"{strange} of {len(targets)} training answers and captions hold words that the T5" in caplog.text
    paths = [broken(tmp_path, "train", 2), broken(tmp_path, "test", 1)]
    monkeypatch.setattr(Setting, "fit", None)
    with pytest.raises(ValueError, match=r"2 of 13 images can't be used") as refused:
        run("bridge=linear")
    assert all(f"{path} can't be read" in str(refused.value) for path in paths)


@pytest.mark.parametrize("bridge", ["linear", "blind"])
def test_missing_images_are_named_before_any_is_read(run, tmp_path, monkeypatch, bridge):
    Setting(run.config(), "cpu")
    path = Path(broken(tmp_path, "test", 1))
    path.unlink()
    monkeypatch.setattr(FeatureStore, "features", None)
    with pytest.raises(
        ValueError, match=rf"(?s)1 of 13 images can't be used:\n  {path} is missing\n.*on_error=skip"
    ):
        run(f"bridge={bridge}")


def test_examples_of_broken_images_can_be_left_out_and_are_told(run, tmp_path, caplog):
    whole, asked = run("bridge=linear")
    assert whole["skipped"] == {"images": {}, "examples": {"train": 0, "val": 0, "test": 0}}
    paths = [broken(tmp_path, "train", 2), broken(tmp_path, "test", 1)]
    Path(paths[1]).unlink()
    ids = set()
    for bridge in ("linear", "blind", "words"):
        record, answered = run(f"bridge={bridge}", "data.on_error=skip")
        assert list(record["skipped"]["images"]) == paths
        of_train, of_test = record["skipped"]["images"].values()
        assert "can't be read" in of_train
        assert of_test == "is missing"
        assert record["skipped"]["examples"]["val"] == 0
        assert record["skipped"]["examples"]["train"] >= 2  # a caption and a question at least
        lost = record["skipped"]["examples"]["test"]
        assert len(asked) - len(answered) == lost > 0
        assert not answered["image"].str.endswith("test/CLEVR_test_000001.png").any()
        assert all(path in caplog.text for path in paths)
        ids.add((tuple(answered["id"]), record["fingerprints"]["data"]))
    assert len(ids) == 1  # every bridge has the same examples


def test_a_run_says_where_its_features_come_from_and_learns_the_same(run):
    stored, _ = run("bridge=linear")
    online, _ = run("bridge=linear", "data.features=online")
    assert (stored["features"], stored["features_dtype"]) == ("store", "bfloat16")
    assert (online["features"], online["features_dtype"]) == ("online", "bfloat16")
    assert online["metrics"] == pytest.approx(stored["metrics"], abs=1e-3)
    blind, _ = run("bridge=blind")
    assert (blind["features"], blind["features_dtype"]) == ("none", None)


def test_standardised_by_the_training_images_alone(run, tmp_path):
    setting = Setting(run.config(), "cpu")
    frozen = setting.material.frozen
    images = frozen.images
    assert len(images) == 13
    train = frozen.part([path for path in images if "/train/" in path])
    assert len(train) == 6
    assert (setting.standard["mean"] == train.mean).all()
    assert (setting.standard["mean"] != frozen.mean).any()
