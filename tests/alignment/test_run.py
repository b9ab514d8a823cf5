"""An alignment of a few steps on a world of a few images, with a tiny vision encoder and the miniature's tokenizer."""

import csv
import functools
import json
import re

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors import safe_open
from tiny_experiment import CONF
from tiny_training import KillAt, Killed

from bridgelab.alignment import experiment as experiment_module
from bridgelab.alignment import main
from bridgelab.alignment.weights import weights_of
from bridgelab.bridge.weights import read_weights, write_weights
from bridgelab.report.summary import summarize
from bridgelab.runs.locks import locked
from bridgelab.runs.objective import objective
from bridgelab.runs.study import read_study
from bridgelab.statistics.verdict import verdict
from bridgelab.training import main as training
from bridgelab.training.experiment import Experiment

SIZES = ("bridge.width=16", "bridge.num_heads=2", "bridge.num_queries=4")
SMALL = (
    "benchmark.images.train=6", "benchmark.images.val=3", "benchmark.images.test=4", "benchmark.processes=1",
    "benchmark.questions_per_image=3", "train.steps=6", "train.batch_size=4", "train.save_every=2", "train.log_every=2",
    "train.val_points=3", "embed_dim=8", "data.max_length.answer=30", *SIZES,
)  # fmt: skip


@pytest.fixture
def alignment(tiny, world, tmp_path):
    """Overrides -> config."""

    def composed(*overrides):
        own = (f"benchmark.root={world}", f"paths.features={tmp_path}/features")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("align", [*SMALL, *own, *overrides])

    return composed


def test_an_alignment_leaves_weights_that_the_second_stage_begins_with(alignment, config, tmp_path, caplog):
    folder = tmp_path / "aligned"
    caplog.set_level("INFO")
    chosen = ("vision=openclip_vit_l_14", "text.path=miniature", "bridge.dropout=0.0")
    overrides = ["bridge=qformer", *chosen, "bridge.init_from=null", "trainer=cpu", "train.steps=6"]
    main.run(alignment(), folder, bridge="qformer", overrides=overrides)
    start = f"'bridge.init_from=\"{folder}/weights.safetensors\"'"
    assert caplog.messages[-1] == f"next: bridgelab train bridge=qformer {' '.join(chosen)} {start}"
    record = json.loads((folder / "metrics.json").read_text())
    assert record["stage"] == "alignment"
    assert record["examples_seen"] == 6 * 4
    assert record["images"] == {"train": 6, "val": 3}
    assert record["captions"] == {"train": 24, "val": 12}  # four orders of each scene's objects
    assert record["chance"] == {"val/i2t_r1": pytest.approx(1 / 3), "val/t2i_r1": pytest.approx(1 / 3)}
    metrics = record["metrics"]
    assert metrics["val/loss"] == pytest.approx(sum(metrics[f"val/{name}"] for name in ("itc", "itm", "itg")))
    assert 0 <= metrics["val/i2t_r1"] <= 1
    assert record["costs"]["train_seconds"] > 0
    assert objective(folder) == pytest.approx((metrics["val/i2t_r1"] + metrics["val/t2i_r1"]) / 2)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [row["step"] for row in rows if row["train/itc"]] == ["2", "4", "6"]
    assert [row["step"] for row in rows if row["val/t2i_r1"]] == ["2", "4", "6"]
    weights = folder / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        assert file.metadata()["vision"] == record["fingerprints"]["vision"]
    aligned = read_weights(weights)
    for source in (weights, folder / "last.ckpt"):
        second = config("bridge=qformer", *SIZES, f'bridge.init_from="{source}"', "model.positions=true")
        bridge = Experiment.set_up(second, "cpu").model(1).bridge
        for name, value in bridge.state_dict().items():
            if not name.startswith("language_projection."):
                torch.testing.assert_close(value, aligned[name], rtol=0, atol=0)
    # It can also begin another alignment.
    again = experiment_module.AlignmentExperiment(alignment(f'bridge.init_from="{weights}"', "seed=3"), "cpu")
    for name, value in weights_of(again.model).items():
        torch.testing.assert_close(value, aligned[name])
    written = (folder / "metrics.json").stat().st_mtime_ns
    main.run(alignment(), folder, bridge="qformer")  # is finished: nothing to do
    assert (folder / "metrics.json").stat().st_mtime_ns == written


def test_connectors_trained_as_published_are_rows_of_one_study(alignment, config, tmp_path):
    """As experiments/published.yaml has them: each seed from its own first stage, and one row with an insert of its own."""
    runs = tmp_path / "runs"
    bridges = ("linear", "qformer", "qformer_aligned", "perceiver_cross_attention", "blind")
    of_study = (
        "study=toy",
        f"paths.runs={runs}",
        "train.lr=0.01",
        "model.cross_attention.num_heads=2",
    )
    for seed in (0, 1):
        first = alignment(f"seed={seed}", "train.steps=2", "train.val_points=1")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            sweep = compose("align", [f"seed={seed}", "train.steps=250"], return_hydra_config=True)
        assert sweep.hydra.sweep.subdir == f"seed={seed}", "where bridge=qformer_aligned looks for it"
        main.run(first, runs / "aligned" / f"seed={seed}", bridge="qformer")
        for bridge in bridges:
            sizes = SIZES if "qformer" in bridge else ()
            given = config(f"bridge={bridge}", f"seed={seed}", *of_study, *sizes)
            training.run(given, runs / "toy" / f"bridge={bridge},seed={seed}", bridge=bridge)
    study = read_study(runs / "toy")
    assert set(study.bridges) == set(bridges)
    assert not study.missing
    first, second = (run.record["init_from"] for run in study.of("qformer_aligned"))
    assert first != second
    assert first.startswith("weights.safetensors@")
    (flamingo, _), (linear, _) = study.of("perceiver_cross_attention"), study.of("linear")
    assert (flamingo.record["insert"], linear.record["insert"]) == ("cross_attention", "encoder_input")
    assert flamingo.record["cross_attention"]["parameters"] > 0
    assert [budget["steps"] for budget in flamingo.record["budgets"]] == [3, 6]
    said = " ".join(summarize(study).caveats)
    assert "cross_attention in perceiver_cross_attention. A difference between such rows" in said
    judged = verdict(study)
    assert set(judged.comparators) == {"qformer", "qformer_aligned", "perceiver_cross_attention"}
    (runs / "aligned" / "seed=1" / "weights.safetensors").unlink()
    lost = config("bridge=qformer_aligned", "seed=1", *of_study, "train.steps=5", *SIZES)
    with pytest.raises(
        FileNotFoundError, match=r"seed=1/weights\.safetensors: there is no such file.*bridgelab align"
    ):
        training.run(lost, runs / "toy" / "lost", bridge="qformer_aligned")


def test_a_killed_alignment_goes_on_exactly(alignment, tmp_path, monkeypatch):
    main.run(alignment(), tmp_path / "whole", bridge="qformer")
    build = experiment_module.trainer_builder

    def killed_at_5(config):
        trainer = build(config)
        return lambda callbacks, **kwargs: trainer(callbacks=[*callbacks, KillAt(5)], **kwargs)

    monkeypatch.setattr(experiment_module, "trainer_builder", killed_at_5)
    with pytest.raises(Killed):
        main.run(alignment(), tmp_path / "torn", bridge="qformer")
    monkeypatch.setattr(experiment_module, "trainer_builder", build)
    assert not (tmp_path / "torn" / "metrics.json").exists()
    main.run(alignment(), tmp_path / "torn", bridge="qformer")
    whole, torn = (read_weights(tmp_path / name / "weights.safetensors") for name in ("whole", "torn"))
    assert all(torch.equal(torn[name], value) for name, value in whole.items())
    assert (tmp_path / "torn" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_a_folder_in_use_and_one_of_another_config_are_refused(alignment, tmp_path):
    with (
        locked(tmp_path / "used" / "lock"),
        pytest.raises(ValueError, match="is being run by another process"),
    ):
        main.run(alignment(), tmp_path / "used", bridge="qformer")
    main.run(alignment("train.steps=2", "train.val_points=1"), tmp_path / "run", bridge="qformer")
    with pytest.raises(ValueError, match=r"holds a run of another config .*train\.steps"):
        main.run(alignment("train.val_points=1"), tmp_path / "run", bridge="qformer")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["bridge=linear"], r"bridge\._target_=bridgelab\.bridge\.linear\.Linear has no first stage.*Set bridge=qformer\."),
        (["benchmark=vsr"], r"benchmark vsr has examples of kind true_false: alignment learns from captions.*coco_captions"),
        (["train.batch_size=1"], r"train\.batch_size=1: must be at least 2"),
        (["+trainer.accumulate_grad_batches=2"], r"accumulate_grad_batches=2: the contrast is over the whole batch"),
        (["trainer.devices=2", "train.batch_size=2"], r"train\.batch_size=2 must be a multiple of the 2 processes, with two pairs"),
        (["+train.step=3"], r"train\.step: there is no such key\. Did you mean train\.steps\?"),
        (["benchmark.images.val=1"], r"split val of world has 1 images with captions.*two or more"),
        (["text.path=nowhere/at/all"], r"text\.path=nowhere/at/all: there is no folder"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_refused_before_training(
    alignment, tmp_path, monkeypatch, overrides, message
):
    root = f"benchmark.root={tmp_path}/own"
    if overrides[0].startswith(("bridge=", "benchmark=")):  # which lack keys that the others set
        with initialize_config_dir(str(CONF), version_base="1.3"):
            given = compose("align", [*overrides, root])
    else:
        given = alignment(*overrides, *([root] if "benchmark.images.val=1" in overrides else []))
    monkeypatch.setattr(experiment_module, "fit", None)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main.run(given, tmp_path / "run", bridge="x")


def test_weights_of_another_stage_bridge_or_reader_are_refused(alignment, config, tmp_path, monkeypatch):
    """Each in one line, before data are read."""
    monkeypatch.setattr(experiment_module.BenchmarkDataModule, "setup", None)
    plain = Experiment(config("bridge=qformer", *SIZES), "cpu").backbones.model(0).bridge.state_dict()
    path = tmp_path / "second.safetensors"
    write_weights(plain, path)
    align = functools.partial(main.run, directory=tmp_path / "run", bridge="qformer")
    with pytest.raises(
        ValueError, match=rf"bridge\.init_from={path} has no text side.*of a first stage\. Name those of"
    ):
        align(alignment(f"bridge.init_from={path}"))


def test_first_stages_of_other_sizes_and_checkpoints_of_other_readers_are_refused(
    alignment, config, tmp_path
):
    folder = tmp_path / "aligned"
    main.run(alignment("train.steps=2", "train.val_points=1"), folder, bridge="qformer")
    weights = f'bridge.init_from="{folder}/weights.safetensors"'
    with pytest.raises(
        ValueError, match=r"was trained with embed_dim=8, and embed_dim=6 here. Set embed_dim=8"
    ):
        main.run(alignment(weights, "embed_dim=6"), tmp_path / "run", bridge="qformer")
    with pytest.raises(ValueError, match=r"vision_proj\.\w+.* have another shape, \(8.*here \(6"):
        experiment_module.AlignmentExperiment(alignment(weights, "embed_dim=6"), "cpu")
    # One of another tokenizer may have as many words, and the same shapes.
    other = tmp_path / "other_words.safetensors"
    origin = {"stage": "alignment", "tokenizer": "another"}
    write_weights(read_weights(folder / "weights.safetensors"), other, origin)
    with pytest.raises(
        ValueError, match=r"trained with the words of the tokenizer another, and text has \w+ here"
    ):
        main.run(alignment(f'bridge.init_from="{other}"'), tmp_path / "run", bridge="qformer")
    for choice, message in (
        ("bridge=perceiver", r"are not in this bridge"),
        (
            "bridge.num_queries=5",
            r"query_tokens have another shape; query_tokens is \(1, 4, 16\), here \(1, 5, 16\)",
        ),
    ):
        sizes = () if choice.startswith("bridge=") else ("bridge=qformer", *SIZES)
        with pytest.raises(ValueError, match=message):
            Experiment(config(*sizes, choice, weights), "cpu")
    # A checkpoint of the second stage names the reader that it was trained for.
    checkpoint = {
        "identity": {"text": "another", "vision": "v"},
        "state_dict": {"model.bridge.x": torch.ones(1)},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(
        ValueError, match=re.escape("was trained for the language model another, and text is ")
    ):
        Experiment(config("bridge=qformer", *SIZES, f"bridge.init_from={tmp_path}/last.ckpt"), "cpu")
