import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from bridgelab.benchmark.metrics import caption_metric
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.evaluation.predict import predict, predict_views
from bridgelab.model import BridgedModel
from bridgelab.report.summary import summarize
from bridgelab.report.tables.training import curve_table
from bridgelab.runs.study import read_study
from bridgelab.training import lr_trial, main, start_check
from bridgelab.training.experiment import Experiment
from bridgelab.training.lr_trial import has_halves, learning_rate, validation_losses


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
    experiment = Experiment.set_up(run.config(), "cpu")
    targets = [e.answers[0] for kind in experiment.data.examples("train").values() for e in kind]
    strange = sum(bool(experiment.backbones.text.unknown(target.split())) for target in targets)
    assert f"{strange} of {len(targets)} training answers and captions hold words that the T5" in caplog.text
    paths = [broken(tmp_path, "train", 2), broken(tmp_path, "test", 1)]
    monkeypatch.setattr(Experiment, "fit", None)
    with pytest.raises(ValueError, match=r"2 of 13 images can't be used") as refused:
        run("bridge=linear")
    assert all(f"{path} can't be read" in str(refused.value) for path in paths)


@pytest.mark.parametrize("bridge", ["linear", "blind"])
def test_missing_images_are_named_before_any_is_read(run, tmp_path, monkeypatch, bridge):
    Experiment.set_up(run.config(), "cpu")
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
        record, answered = run(f"bridge={bridge}", "data.on_error=skip", "data.max_skipped=0.25")
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


def test_too_many_broken_images_are_refused_before_training(run, tmp_path):
    Experiment.set_up(run.config(), "cpu")
    path = broken(tmp_path, "test", 1)
    with pytest.raises(
        ValueError,
        match=rf"1 of 4 images of test \(25 %\) can't be used, such as {path}, which can't be read .*data\.max_skipped=0\.2 ",
    ):
        Experiment.set_up(run.config("data.on_error=skip", "data.max_skipped=0.2"), "cpu")
    for number in range(4):
        broken(tmp_path, "test", number)
    with pytest.raises(
        ValueError,
        match=r"split test of world gives 0 examples: it has 0 of kind answer, 0 of kind caption, \d+ were left out",
    ):
        Experiment.set_up(run.config("data.on_error=skip", "data.max_skipped=1"), "cpu")


@pytest.mark.parametrize(("split", "key"), [("val", "train.val_limit"), ("test", "evaluate.limit")])
def test_a_split_without_examples_is_refused_before_features_are_made(run, monkeypatch, split, key):
    monkeypatch.setattr(FeatureStore, "features", None)
    with pytest.raises(
        ValueError, match=rf"split {split} of world gives 0 examples: .*At least 1 is needed\. Raise {key}"
    ):
        Experiment.set_up(run.config(f"{key}={{answer:0,caption:0}}"), "cpu")


def test_a_single_test_image_that_is_to_be_shuffled_is_refused_before_features_are_made(run, monkeypatch):
    monkeypatch.setattr(FeatureStore, "features", None)
    choices = ("benchmark.images.test=1", "evaluate.shuffled=true", "evaluate.limit.caption=0")
    with pytest.raises(ValueError, match=r"1 image can't be shuffled: .* or set evaluate\.shuffled=false"):
        Experiment.set_up(run.config(*choices), "cpu")


def test_metrics_are_asked_before_anything_is_trained(run, monkeypatch, caplog):
    """On a single image CIDEr-D is 0 whatever is said of it."""
    monkeypatch.setattr(FeatureStore, "features", None)
    with pytest.raises(
        ValueError, match=r"world, test: 1 captions of 1 image: .* Set evaluate\.limit\.caption"
    ):
        Experiment.set_up(run.config("evaluate.limit.caption=1"), "cpu")
    monkeypatch.setattr(caption_metric.CaptionMetric, "check", lambda *_, **__: "beware")
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):  # on to the features
        Experiment.set_up(run.config(), "cpu")
    assert "world, test: beware" in caplog.text


def test_validation_without_short_answers_is_by_the_loss_of_captions(run):
    experiment = Experiment.set_up(
        run.config("train.val_limit={answer:0,caption:3}", "evaluate.batch_size=1"), "cpu"
    )
    captions = experiment.data.val["caption"]
    assert (list(experiment.data.val), len(captions)) == (["caption"], 3)
    model = experiment.model(0)
    experiment.init_output_scale(model, experiment.data.batches(1, 0))
    losses = [model.loss(captions.batch([row])).item() for row in range(3)]
    mean = np.average(losses, weights=captions.target_lengths[:3])
    assert experiment.validate(model) == {"val/loss": pytest.approx(mean)}


def test_validation_is_of_questions_that_count(run, monkeypatch):
    """GQA's unbalanced ones, for example, do not."""
    experiment = Experiment.set_up(run.config("train.val_limit={answer:4,caption:0}"), "cpu")
    answers = experiment.data.val["answer"]
    monkeypatch.setattr(Accuracy, "counts", lambda self, example: example.id == answers.examples[2].id)
    model = experiment.model(0)
    experiment.init_output_scale(model, experiment.data.batches(1, 0))
    (only,) = predict(model, answers, [2], batch_size=1)
    score = Accuracy().score(only.text, answers.examples[2])
    assert experiment.validate(model) == {
        "val/accuracy": score,
        "val/loss": pytest.approx(-only.likelihood),
    }


def test_the_start_is_checked_in_parts_as_small_as_those_of_training(run, monkeypatch):
    """Of four processes, or of as many accumulated parts: else the check of a batch fails where training fits."""
    sizes, own = [], BridgedModel.loss

    def loss(self, batch):
        sizes.append(len(batch["prompt"]))
        return own(self, batch)

    monkeypatch.setattr(BridgedModel, "loss", loss)
    norms = []
    monkeypatch.setattr(start_check, "MAX_NORM", 0.0)  # so that it tells the norm
    for parts in (
        (),
        ("+trainer.accumulate_grad_batches=2",),
        ("trainer.devices=2", "+trainer.accumulate_grad_batches=2"),
    ):
        experiment = Experiment.set_up(run.config("train.precision=fp32", *parts), "cpu")
        with pytest.raises(ValueError, match="first gradient's norm is") as told:
            experiment.init_output_scale(experiment.model(0), experiment.data.batches(1, 0))
        norms.append(float(str(told.value).split("norm is ")[1].split(":")[0]))
    assert sizes == [4, 2, 2, 1, 1, 1, 1]
    assert norms == pytest.approx([norms[0]] * 3, rel=0.01)  # of three digits

    def full(*_):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(BridgedModel, "loss", full)
    with pytest.raises(
        MemoryError, match=r"full at batches of 4\. Set \+trainer\.accumulate_grad_batches=2 or higher"
    ):
        experiment.init_output_scale(experiment.model(0), experiment.data.batches(1, 0))
    with monkeypatch.context() as patched:
        patched.setattr(BridgedModel, "to", full)
        with pytest.raises(
            MemoryError, match=r"T5 with its bridge does not fit\. Set text\.dtype=bfloat16.* 2 GiB"
        ):
            experiment.model(0)
    monkeypatch.setattr(type(experiment.backbones.vision), "to", full)
    with pytest.raises(
        MemoryError, match=r"the ViT with its images does not fit\. Set vision\.dtype=bfloat16"
    ):
        Experiment.set_up(run.config(), "cpu")


def test_full_memory_while_answering_is_told_with_the_keys_of_the_evaluation(run, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    experiment = Experiment.set_up(run.config("evaluate.batch_size=2"), "cpu")
    model, data = experiment.model(0), experiment.data
    tests = data.test_examples("test", data.conditioning)
    monkeypatch.setattr(BridgedModel, "loss", full)
    monkeypatch.setattr(BridgedModel, "generate", full)
    for evaluated in (
        lambda: experiment.validate(model),
        lambda: validation_losses(experiment, model),
        lambda: predict_views(model, tests, batch_size=2, shuffled=False, images=4),
    ):
        with pytest.raises(MemoryError, match=r"full at 2 examples .*Set evaluate\.batch_size=1 or lower; "):
            evaluated()


def test_kinds_of_question_share_the_weight_of_their_pool(monkeypatch):
    losses = {"answer": 1.0, "choice": 5.0, "caption": 3.0}
    examples = {"answer": [0] * 3, "choice": [0], "caption": [0] * 7}
    val = {kind: [kind] * 2 for kind in losses}
    monkeypatch.setattr(lr_trial, "mean_loss", lambda _, own, *__, **___: losses[own[0]])
    stages = [{"share": 1, "caption": 1, "answer": 2}]
    experiment = SimpleNamespace(
        device="cpu",
        data=SimpleNamespace(val=val, examples=lambda split: {"train": examples}[split]),
        config=OmegaConf.create({"evaluate": {"batch_size": 4}, "train": {"stages": stages}}),
    )
    found = validation_losses(experiment, torch.nn.Linear(1, 1))
    assert found["val/loss"] == pytest.approx((3.0 + 2 * (3 * 1.0 + 5.0) / 4) / 3)


def test_half_of_a_trial_is_the_trial_of_half_as_many_steps(run, tmp_path):
    """The loss after a cool-down that branches off equals that of a search with so many steps, rate by rate."""
    rates = ("bridge=linear", "train.lr=null", "tune.lrs=[0.001,0.01,0.1]", "tune.extend=0")
    whole = learning_rate(
        Experiment.set_up(run.config(*rates, "tune.steps=20"), "cpu"), tmp_path / "whole" / "seed=0"
    )
    half = learning_rate(
        Experiment.set_up(run.config(*rates, "tune.steps=10"), "cpu"), tmp_path / "half" / "seed=0"
    )
    assert whole["at_half"] == pytest.approx(half["trials"], rel=1e-6)
    assert whole["trials"] != pytest.approx(half["trials"], rel=1e-3)
    cosine = Experiment.set_up(
        run.config(*rates, "tune.steps=10", "train.schedule={shape:cosine}", "train.budgets=[]"), "cpu"
    )
    assert learning_rate(cosine, tmp_path / "cosine" / "seed=0")["at_half"] == {}


def test_a_benchmark_of_captions_alone_is_searched_trained_and_scored(tiny, tmp_path, monkeypatch):
    """As the study captions_flan_t5_xl would be; its curve is of e^-loss."""
    monkeypatch.setattr(caption_metric, "stanford_jar", lambda: None)  # Java takes seconds
    entries = []
    for number, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        Image.new("RGB", (8, 8), (30 * number, 0, 90)).save(tmp_path / f"{number}.png")
        said = [{"raw": f"a {color} cube"} for color in ("red", "blue")]
        entries.append({"filename": f"{number}.png", "split": split, "imgid": number, "sentences": said})
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": entries}))
    chosen = (
        "benchmark=coco_captions", f"benchmark.root={tmp_path}", f"paths.features={tmp_path}/features", "tune.steps=1",
        "train.stages=[{share: 1.0, caption: 1.0}]", "train.steps=2", "train.batch_size=2", "train.val_points=2",
        "evaluate.shuffled=false",
    )  # fmt: skip
    with initialize_config_dir(str(main.ROOT / "conf"), version_base="1.3"):
        main.run(compose("train", list(chosen)), tmp_path / "study" / "seed=0", bridge="linear")
    record = json.loads((tmp_path / "study" / "seed=0" / "metrics.json").read_text())
    rows = pd.read_csv(tmp_path / "study" / "seed=0" / "metrics.csv").dropna(subset="val/loss")
    assert [value for _, value in record["curve"]] == pytest.approx(list(np.exp(-rows["val/loss"])), rel=1e-6)
    assert record["curve_of"] == "token probability"
    assert record["tuning"]["trials"]
    assert 0 <= record["metrics"]["test/cider"] <= 10
    grid = curve_table(summarize(read_study(tmp_path / "study")))
    assert grid.title == "Validation token probability while training, %, mean over seeds"


def test_a_run_says_where_its_features_come_from_and_learns_the_same(run):
    stored, _ = run("bridge=linear")
    online, _ = run("bridge=linear", "data.features=online")
    assert (stored["features"], stored["features_dtype"]) == ("store", "bfloat16")
    assert (online["features"], online["features_dtype"]) == ("online", "bfloat16")
    assert online["metrics"] == pytest.approx(stored["metrics"], abs=1e-3)
    blind, _ = run("bridge=blind")
    assert (blind["features"], blind["features_dtype"]) == ("none", None)


def test_standardised_by_the_training_images_alone(run, tmp_path):
    experiment = Experiment.set_up(run.config(), "cpu")
    frozen = experiment.data.image_features
    images = frozen.images
    assert len(images) == 13
    train = frozen.subset([path for path in images if "/train/" in path])
    assert len(train) == 6
    assert (experiment.patch_moments["mean"] == train.mean).all()
    assert (experiment.patch_moments["mean"] != frozen.mean).any()


def test_a_finalist_goes_on_where_its_half_branched_off(run, tmp_path, monkeypatch):
    """Losses equal those of a search in which every trial takes all steps, and no step is trained twice."""
    rates = ("bridge=linear", "train.lr=null", "tune.lrs=[0.001,0.01,0.1]", "tune.extend=0", "tune.steps=20")

    def searched(name, *overrides):
        spans = []
        fit = Experiment.fit
        monkeypatch.setattr(
            Experiment, "fit", lambda *args, **kwargs: spans.append(kwargs["span"]) or fit(*args, **kwargs)
        )
        experiment = Experiment.set_up(run.config(*rates, *overrides), "cpu")
        rate = learning_rate(experiment, tmp_path / name / "seed=0")
        monkeypatch.setattr(Experiment, "fit", fit)
        return rate, spans

    every, _ = searched("every")
    final, spans = searched("final", "tune.finalists=1")
    assert final["at_half"] == pytest.approx(every["at_half"], rel=1e-6)
    ((name, loss),) = final["trials"].items()
    assert name == min(final["at_half"], key=final["at_half"].get)
    assert loss == pytest.approx(every["trials"][name], rel=1e-6)
    assert [span.stop for span in spans] == [10, 10, 10, None]
    assert spans[-1].start is not None
    assert list((tmp_path / "final").rglob("*.ckpt")) == []
    with pytest.raises(
        ValueError, match=r"tune\.finalists=1: .* train\.schedule is cosine .* Set tune\.finalists=null"
    ):
        searched("cosine", "tune.finalists=1", "train.schedule={shape:cosine}", "train.budgets=[]")
    with pytest.raises(
        ValueError, match=r"^tune\.finalists=1 with tune\.steps=4: .* Set tune\.steps higher, or"
    ):
        searched("few", "tune.finalists=1", "tune.steps=4")


def test_a_half_cools_down_after_the_warm_up_alone(run):
    """From 0.5 (1 - decay) of the steps: with a decay of 0.2, a longer warm-up than 0.4 has no half to compare."""
    experiment = Experiment.set_up(run.config("tune.steps=20"), "cpu")
    assert [has_halves(experiment, warmup) for warmup in (0.05, 0.4, 0.41, 0.7)] == [True, True, False, False]
