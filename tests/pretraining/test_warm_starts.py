"""Warm starts: made from a study's runs, found by what a run needs, and refused to every other run."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from bridgelab.bridge.warm_starts import read_cards
from bridgelab.cli import main as cli
from bridgelab.data.image_files import read_image
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.published_bridge import evaluate_published
from bridgelab.pretraining.warm_start_page import write_page
from bridgelab.pretraining.warm_starts import make_warm_starts
from bridgelab.report.answer import gain_over_start
from bridgelab.report.summary import summarize
from bridgelab.report.tables.training import start_table
from bridgelab.runs import warm_start_files
from bridgelab.runs.identity import claim, config_hash
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.study import read_study
from bridgelab.training import main
from bridgelab.training.experiment import Experiment

QFORMER = ("bridge=qformer", "bridge.num_queries=2", "bridge.width=8", "bridge.num_heads=2")
CHOICES = {"linear": ("bridge=linear",), "qformer": QFORMER, "words": ("bridge=words",)}
MADE = (("linear", 0), ("linear", 1), ("qformer", 0), ("words", 0))  # words train nothing and give no start
TRAINED = ("train.lr=0.01", "study=made", "train.precision=fp32")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder that is filled once and copied for each test."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def starts(once, tiny, config, tmp_path, monkeypatch):
    """The package's folder of warm starts, with two of linear and one of a Q-Former, and the runs that they are made from."""
    monkeypatch.setattr(warm_start_files, "SHIPPED", tmp_path / "starts")
    runs = {(bridge, seed): f"bridge={bridge},seed={seed}" for bridge, seed in MADE}
    if not (once / "starts").exists():
        for (bridge, seed), name in runs.items():
            main.run(config(*CHOICES[bridge], f"seed={seed}", *TRAINED), once / "made" / name, bridge=bridge)
        assert cli.main(["warm-starts", str(once / "made"), "--out", str(once / "starts")]) == 0
    for folder in ("made", "starts"):
        shutil.copytree(once / folder, tmp_path / folder)
    return tmp_path / "starts" / "miniature", {key: tmp_path / "made" / name for key, name in runs.items()}


def test_a_run_sets_out_from_the_trained_bridge_and_says_so(starts, config, tmp_path):
    folder, runs = starts
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "linear_4_seed0.safetensors", "linear_4_seed1.safetensors", "qformer_2_seed0.safetensors",
    ]  # fmt: skip
    given = config(*QFORMER, "bridge.init_from=warm", *TRAINED, "study=warm")
    experiment = Experiment.set_up(given, "cpu")
    begun = experiment.model(0).trained_state()
    _, _, trained = load_trained(runs["qformer", 0])
    for name, value in trained.trained_state().items():
        assert begun[name].dtype == value.dtype
        expected = value.to(torch.bfloat16).to(value.dtype) if value.ndim > 1 else value
        assert torch.equal(begun[name], expected), name
    # The first point of the curve is the accuracy of the start, as validation of it says, before any step.
    at_start = experiment.validate(experiment.model(0).eval())["val/accuracy"]
    run = tmp_path / "warm" / "bridge=qformer,seed=0"
    main.run(given, run, bridge="qformer")
    record = read_record(run)
    assert [step for step, _ in record["curve"]] == [0, 2, 4, 6]
    assert record["curve"][0][1] == at_start
    assert record["init_from"].startswith("warm:miniature/qformer_2_seed0@")
    assert record["init_budgets"] == read_record(runs["qformer", 0])["budgets"]
    # Plain words train nothing and have no start; the same config serves them.
    words = config("bridge=words", "bridge.init_from=warm", *TRAINED, "study=warm")
    main.run(words, tmp_path / "warm" / "bridge=words,seed=0", bridge="words")
    summary = summarize(read_study(tmp_path / "warm"))
    ends = f"{100 * at_start:.1f} → {100 * record['curve'][-1][1]:.1f} %"
    assert gain_over_start(summary) == (
        f"Started from warm starts; validation accuracy before the first step and at the end: qformer {ends}."
    )
    ((_, cells),) = start_table(summary).rows
    assert [cell.text for cell in cells[:3]] == ["qformer", *ends.removesuffix(" %").split(" → ")]
    assert gain_over_start(summarize(read_study(tmp_path / "made"))) == ""


def test_a_warm_start_is_evaluated_without_training(
    starts, config, tiny_text, tiny_vision, tmp_path, monkeypatch
):
    _, runs = starts
    exact = ("train.precision=fp32", "data.dtype=float32")
    given = config("bridge=linear", "bridge.init_from=warm", "seed=1", *exact, f"paths.runs={tmp_path}")
    folder = evaluate_published(given, torch.device("cpu"), bridge="linear")
    assert folder == tmp_path / f"{given.study}" / "bridge=linear,init_from=warm,seed=1"
    record = read_record(folder)
    assert record["steps"] == 0
    assert record["init_from"].startswith("warm:miniature/linear_4_seed1@")
    # The likelihood is that of the run's weights, rounded as they are kept, by the equation of a linear bridge.
    _, _, trained = load_trained(runs["linear", 1])
    state = {name: value.double() for name, value in trained.trained_state().items()}
    (weight,) = (value.bfloat16().double() for value in state.values() if value.ndim == 2)
    (bias,) = (value for name, value in state.items() if name.endswith("bias"))
    row = pd.read_parquet(folder / "predictions.parquet").query("view == 'image'").iloc[0]
    patches = tiny_vision.patches(
        torch.from_numpy(read_image(str(Path(given.benchmark.root) / "images" / row["image"])))[None]
    )
    tokens = (((patches - state["mean"]) / state["std"]) @ weight.T + bias) * state["scale"]
    expected = tiny_text.log_likelihood(tokens.float(), row["prompt"], row["target"])
    assert row["likelihood"] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match=r"blind\.Blind has no warm start\. Choose one of .*README\.md"):
        evaluate_published(
            config("bridge=blind", "bridge.init_from=warm"), torch.device("cpu"), bridge="blind"
        )


def test_a_seed_needs_the_warm_start_of_no_other(starts, config):
    folder, _ = starts
    for path in folder.glob("linear_4_seed0.*"):
        path.unlink()
    experiment = Experiment.set_up(
        config("bridge=linear", "bridge.init_from=warm", "seed=1", *TRAINED), "cpu"
    )
    assert set(experiment.backbones.warm_starts) == {1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("bridge=linear", "seed=7"), r"no warm start of Linear for miniature has seed=7; there is seed=0, 1\. Take one of these, or"),
        ((*QFORMER, "bridge.num_queries=3"), r"of QFormer .* has bridge\.num_queries=3; there is bridge\.num_queries=2"),
        (("bridge=mlp",), r"no warm start for miniature has bridge\._target_=\S+MLP; there is \S+Linear, \S+QFormer\. .*init_from=null"),
        (("bridge=linear", "model.positions=true"), r"has model\.positions=True; there is model\.positions=False"),
        (("bridge=linear", "text=miniature_prose"), r"no warm starts for the language model miniature_prose\. Choose text among miniature"),
    ],
)  # fmt: skip
def test_another_run_is_refused(starts, config, overrides, message):
    with pytest.raises(ValueError, match=message) as caught:
        Experiment(config(*overrides, "bridge.init_from=warm"), "cpu")
    assert "\n" not in str(caught.value)


BLOCKS = {"stack": "decoder", "every": 1, "num_heads": 4, "ffn_ratio": 4}


@pytest.mark.parametrize(
    ("change", "overrides", "named"),
    [
        ({"fingerprints": {"vision": "another"}}, (), r"the vision encoder=\w+; there is the vision encoder=another"),
        ({"fingerprints": {"text": "another"}}, (), r"the language model=\w+; there is the language model=another"),
        (
            {"insert": "cross_attention", "cross_attention": BLOCKS},
            ("model.insert=cross_attention", "model.cross_attention.num_heads=2", "model.cross_attention.stack=decoder"),
            r"model\.cross_attention\.num_heads=2; there is model\.cross_attention\.num_heads=4",
        ),
        (
            {"groups": {"text": {"adapt": "lora", "lora": {"rank": 2, "alpha": 4.0, "targets": ["q"]}}}},
            ("text.adapt=lora", "text.lora={rank: 2, alpha: 8, targets: [q]}"),
            r"text\.lora\.alpha=8\S*; there is text\.lora\.alpha=4",
        ),
    ],
)  # fmt: skip
def test_other_backbones_blocks_and_adapters_are_refused(starts, config, change, overrides, named):
    folder, _ = starts
    for path in folder.glob("linear*.json"):
        content = OmegaConf.merge(json.loads(path.read_text()), change)
        path.write_text(json.dumps(OmegaConf.to_container(content)))
    with pytest.raises(ValueError, match=rf"of Linear for miniature has {named}"):
        Experiment(config("bridge=linear", "bridge.init_from=warm", *overrides), "cpu")


def test_a_file_that_is_not_what_its_card_says_is_refused(starts, config):
    folder, _ = starts
    shutil.copy(folder / "linear_4_seed1.safetensors", folder / "linear_4_seed0.safetensors")
    with pytest.raises(
        ValueError, match=r"linear_4_seed0\.safetensors does not hold the weights .* warm-starts STUDY_DIR"
    ):
        Experiment(config("bridge=linear", "bridge.init_from=warm"), "cpu")


def test_the_blind_floor_starts_from_nothing(starts, config):
    """It has no warm start, and needs none; its identity names none either."""
    warm, cold = (config("bridge=blind", f"bridge.init_from={start}") for start in ("warm", "null"))
    first, second = (Experiment.set_up(one, "cpu").model(0).trained_state() for one in (warm, cold))
    assert all(
        torch.equal(first[name], second[name]) for name in ("bridge.prompt", *first) if name != "scale"
    )
    assert warm_start_files.digest_of_starts(warm) is None


def test_identity_holds_the_starts_of_its_own_bridge(starts, config, tmp_path):
    folder, _ = starts
    given = config("bridge=linear", "bridge.init_from=warm")
    before = config_hash(given)
    assert before != config_hash(OmegaConf.merge(given, {"bridge": {"init_from": None}}))
    claim(tmp_path / "run", given)
    (tmp_path / "run" / "last.ckpt").touch()
    for name, changes in (("qformer_2_seed0.json", False), ("linear_4_seed0.json", True)):
        path = folder / name
        path.write_text(path.read_text() + "\n")
        assert (config_hash(given) != before) is changes
    with pytest.raises(ValueError, match=r"they differ in the files that bridge\.init_from=warm starts from"):
        claim(tmp_path / "run", given)


def test_the_page_says_what_the_records_do(starts):
    folder, runs = starts
    page = (folder.parent / "README.md").read_text()
    accuracy = 100 * read_record(runs["qformer", 0])["metrics"]["test/accuracy"]
    (line,) = [line for line in page.splitlines() if line.startswith("| qformer | 2 |")]
    assert f"| {accuracy:.1f} |" in line
    assert "Trained in `made`" in page
    assert "in steps of 4 examples on 6 images" in page
    assert {card.seed for card in read_cards(folder).values()} == {0, 1}
    # Of a user's table, images is a folder.
    for path, card in read_cards(folder).items():
        card.groups["benchmark"]["images"] = "."
        path.write_text(card.model_dump_json())
    write_page(folder.parent)
    assert "in steps of 4 examples: " in (folder.parent / "README.md").read_text()


def test_runs_that_can_give_no_start_are_refused(starts, config, change, tmp_path):
    _, runs = starts
    run = tmp_path / "warm" / "bridge=linear,seed=0"
    main.run(config("bridge=linear", "bridge.init_from=warm", *TRAINED), run, bridge="linear")
    with pytest.raises(
        ValueError, match=r"started from warm:miniature/linear_4_seed0@\w+: a warm start is trained from"
    ):
        make_warm_starts([runs["linear", 1], run], tmp_path / "again")
    with pytest.raises(ValueError, match="holds no finished run that trained a bridge"):
        make_warm_starts([runs["words", 0]], tmp_path / "again")
    with pytest.raises(
        ValueError, match=r"would both be the warm start linear_4_seed1: .* Name the runs of one study"
    ):
        make_warm_starts([runs["linear", 1], runs["linear", 1]], tmp_path / "again")
    (runs["qformer", 0] / "last.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no last\.ckpt"):
        make_warm_starts([runs["linear", 1], runs["qformer", 0]], tmp_path / "again")
    change(runs["linear", 1], sees="nothing")  # as blind's
    with pytest.raises(ValueError, match="no finished run that trained a bridge that reads images"):
        make_warm_starts([runs["linear", 1]], tmp_path / "again")
    # Where the package's own may lie.
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "again"))]


def test_a_class_of_ones_own_gives_a_start_if_it_is_trusted(starts, tmp_path, monkeypatch, capsys):
    _, runs = starts
    (tmp_path / "own_start.py").write_text(
        "from bridgelab.bridge.linear import Linear\n\n\nclass Own(Linear):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = OmegaConf.load(runs["linear", 0] / "config.yaml")
    config.bridge._target_ = "own_start.Own"
    OmegaConf.save(config, runs["linear", 0] / "config.yaml")
    command = ["warm-starts", str(runs["linear", 0]), "--out", str(tmp_path / "own")]
    assert cli.main(command) != 0
    assert "If you trust its author, add --trust" in capsys.readouterr().err
    assert cli.main([*command, "--trust"]) == 0
    (card,) = read_cards(tmp_path / "own" / "miniature").values()
    assert card.target == "own_start.Own"


def test_shipped_starts_are_what_their_cards_say():
    """They fit the models that come with the package, are whole, and small enough to ship."""
    from bridgelab.text.t5 import SHIPPED as TEXTS
    from bridgelab.text.t5 import T5
    from bridgelab.vision.openclip import OpenClipVision

    folders = [warm_start_files.SHIPPED / text for text in TEXTS]
    cards = {path: card for folder in folders for path, card in read_cards(folder).items()}
    if not cards:
        pytest.skip("no warm starts are shipped yet")
    for folder in folders:
        assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 10e6
    vision = OpenClipVision().fingerprint
    texts = {folder.name: T5(folder.name).fingerprint for folder in folders if read_cards(folder)}
    for path, card in cards.items():
        assert card.fingerprints["text"] == texts[path.parent.name]
        assert card.fingerprints.get("vision", vision) == vision
        assert hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest() == card.sha256
