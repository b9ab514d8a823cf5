"""Runs on real images by others, from their published layouts to the run record, between the miniature pair."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from bridgelab.training import main

SHARED = Path(
    os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")
).resolve()
CONF = Path(__file__).parents[2] / "conf"
SHORT = (
    "bridge=linear",
    "train.stages=[{share:1.0,answer:1.0}]",
    "train.steps=3",
    "train.batch_size=4",
    "train.val_points=1",
    "train.lr=0.005",
)


def nlvr(root):
    """Of every part some sentences, with their six pictures each."""
    for part, lines in (("dev", 24), ("test", 6)):
        (root / part).mkdir()
        whole = (SHARED / "nlvr_v1" / part / f"{part}.json").read_text().splitlines(keepends=True)
        (root / part / f"{part}.json").write_text("".join(whole[:: len(whole) // lines][:lines]))
        (root / part / "images").symlink_to(SHARED / "nlvr_v1" / part / "images")


def easy_vqa(root):
    data = SHARED / "easy-VQA" / "easy_vqa" / "data"
    (root / "answers.txt").symlink_to(data / "answers.txt")
    for part, number in (("train", 200), ("test", 40)):
        (root / part).mkdir()
        asked = json.loads((data / part / "questions.json").read_text())
        (root / part / "questions.json").write_text(json.dumps(asked[:: len(asked) // number][:number]))
        (root / part / "images").symlink_to(data / part / "images")


def shapeworld(root):
    for generator in sorted(path.parent for path in (SHARED / "ShapeWorld").glob("*/caption.txt"))[:2]:
        (root / generator.name).symlink_to(generator)


def clevr(root):
    """The ten renders, six to train on, two each for validation and test."""
    for folder in ("questions", "scenes", "images"):
        (root / folder).mkdir()
    for split, indices in (("train", range(6)), ("val", (6, 7)), ("test", (8, 9))):
        for folder in ("questions", "scenes"):
            whole = json.loads((SHARED / "clevr_seg10" / f"CLEVR_{folder}.json").read_text())
            kept = [entry for entry in whole[folder] if entry["image_index"] in indices]
            (root / folder / f"CLEVR_{split}_{folder}.json").write_text(json.dumps(whole | {folder: kept}))
        (root / "images" / split).symlink_to(SHARED / "clevr_seg10" / "images")


# A benchmark, what lays it out, its folder in the shared data, what was asked in test, and metrics that its record must have.
RUNS = (
    ("nlvr", nlvr, "nlvr_v1", 36, ("test/accuracy", "test/consistency")),
    ("easy_vqa", easy_vqa, "easy-VQA", 40, ("test/accuracy", "test/accuracy/type=yes_no")),
    ("shapeworld", shapeworld, "ShapeWorld", 200, ("test/accuracy", "test/accuracy/type=existential")),
    ("clevr", clevr, "clevr_seg10", 20, ("test/accuracy",)),
)


@pytest.mark.parametrize(
    ("benchmark", "lay_out", "folder", "asked", "metrics"), RUNS, ids=[run[0] for run in RUNS]
)
def test_a_run_on_real_images(benchmark, lay_out, folder, asked, metrics, tmp_path):
    if not (SHARED / folder).is_dir():
        pytest.skip(f"{SHARED / folder} is not here: set BRIDGELAB_SHARED_DATA")
    (tmp_path / "data").mkdir()
    lay_out(tmp_path / "data")
    own = (f"benchmark={benchmark}", f"benchmark.root={tmp_path}/data", f"paths.features={tmp_path}/features")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*SHORT, *own])
    run = tmp_path / "runs" / "real" / "bridge=linear"
    main.run(config, run, bridge="linear")
    record = json.loads((run / "metrics.json").read_text())
    answered = pd.read_parquet(run / "predictions.parquet")
    seen = answered[answered["view"] == "image"]
    assert len(seen) == asked
    assert record["benchmark"] == benchmark
    assert (record["features"], record["features_dtype"]) == ("store", "bfloat16")
    assert record["skipped"]["images"] == {}
    assert record["examples_seen"] == 12
    for name in metrics:
        assert 0 <= record["metrics"][name] <= 1
    assert record["metrics"]["test/accuracy"] == pytest.approx(seen["score"].mean(), abs=1e-6)
    # The floors: another image's patches, and the most frequent answer of each type in training.
    assert set(answered["view"]) == {"image", "shuffled"}
    assert 0 <= record["metrics"]["test_shuffled/accuracy"] <= 1
    assert record["metrics"]["test/majority"] == pytest.approx(
        (seen["majority"] == seen["target"]).mean(), abs=1e-6
    )
    assert seen["image"].nunique() > 1
