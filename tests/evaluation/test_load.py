"""A trained run is put back as it was, and asked."""

import json
import re
import sys
from functools import partial

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from bridgelab.data.image_files import read_image
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.trained_bridge import in_template, load_bridge, spelled_as_known
from bridgelab.explain.answer import answer
from bridgelab.model import is_frozen


@pytest.fixture
def train(trained):
    return partial(trained, "runs/one", "qformer_question")


@pytest.fixture
def run(train):
    return train("model.positions=true")


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.positions=true",),
        ("model.insert=cross_attention", "model.positions=true"),
        ("model.insert=cross_attention", "model.cross_attention={stack: decoder, num_heads: 4}"),
        ("text.adapt=prompt",),
        ("text.adapt=lora",),
    ],
    ids=",".join,
)
def test_it_answers_as_its_record_says(train, overrides, world, tiny_text):
    run, before = train(*overrides), tiny_text.fingerprint
    _, _, model = load_trained(run)
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    for name, weight in model.state_dict().items():
        if not is_frozen(f"model.{name}"):
            assert torch.equal(weight, checkpoint[f"model.{name}"])
    assert model.scale > 0
    rows = pd.read_parquet(run / "predictions.parquet").query("kind == 'answer' and view == 'image'")
    for row in rows.to_dict("records")[:6]:
        image = world / "images" / row["image"]
        # A tiny T5 seldom ends by itself: the record cuts it off a little behind the longest target.
        assert answer(run, [image], row["prompt"]).startswith(row["prediction"])
    record = json.loads((run / "metrics.json").read_text())
    assert record["fingerprints"]["text"] == before == tiny_text.fingerprint
    assert record["costs"]["trainable_parameters"] == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    if model.cross_attention:
        assert record["cross_attention"]["gates"] == model.cross_attention.gates()
        blocks = sum(p.numel() for p in model.cross_attention.parameters())
        assert record["cross_attention"]["parameters"] == blocks
    else:
        assert "cross_attention" not in record


def test_a_picture_says_where_it_looked(run, world, tmp_path, capsys):
    image = next((world / "images" / "test").glob("*.png"))
    answer(run, [image], "What is it?", tmp_path / "why.png")
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.size[0] > 600
    said = capsys.readouterr()
    assert "(probability 0." in said.out
    assert "why.png" in said.out
    assert said.err == ""  # "What" and "it?" are known once in lower case and apart


def test_a_question_is_asked_in_words_that_the_t5_knows(tiny_text):
    assert spelled_as_known("What is it?", tiny_text) == "what is it ?"
    assert spelled_as_known("What is the zebra?", tiny_text) == "what is the zebra ?"
    assert spelled_as_known("what is it ?", tiny_text) == "what is it ?"


def test_an_answer_says_which_words_the_t5_did_not_read(run, world, capsys):
    """On its own line, beside the probability, which says nothing of it."""
    image = next((world / "images" / "test").glob("*.png"))
    answer(run, [image], "What is the zebra?")
    said = capsys.readouterr().out
    assert re.fullmatch(
        r".*\(probability [01]\.\d\d; asked without 'the', 'zebra', which the T5 does not know\)\n", said
    )


@pytest.mark.parametrize(
    ("benchmark", "asked"),
    [
        ({"question_prompt": "q : {question}"}, r"q : is \1 {it} ?"),
        ({"prompt": "true or false ? {sentence}"}, r"true or false ? is \1 {it} ?"),
        ({}, r"is \1 {it} ?"),
        (
            {"prompt": "Question: {question} Context: {hint} Options: {options} Answer:"},
            r"Question: is \1 {it} ? Context: N/A Options:  Answer:",
        ),
        ({"prompt": "{hint} {question}"}, r"N/A is \1 {it} ?"),
        ({"prompt": "{question}\nin one word ."}, "is \\1 {it} ?\nin one word ."),
        ({"prompt": "describe it ."}, "describe it ."),
    ],
)
def test_the_question_stands_in_the_benchmarks_prompt(benchmark, asked):
    assert in_template(OmegaConf.create(benchmark), r"is \1 {it} ?") == asked
    if benchmark.get("prompt", "") != "{hint} {question}":  # with words of its own
        assert in_template(OmegaConf.create(benchmark), asked) == asked  # where it stands already


def test_a_prompt_without_a_place_for_the_question_is_named(run, caplog):
    load_bridge(run)
    assert "no place for a question" not in caplog.text
    config = OmegaConf.load(run / "config.yaml")
    config.benchmark.question_prompt = "describe it ."
    OmegaConf.save(config, run / "config.yaml")
    load_bridge(run)
    assert "trained with has no place for a question, so it answers without: describe it ." in caplog.text


def test_code_from_outside_is_not_run_unless_it_is_trusted(config, tmp_path, monkeypatch):
    (tmp_path / "somebodys.py").write_text("open('ran', 'w').close()")
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "runs" / "theirs" / "one"
    run.mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.save({"identity": {}, "state_dict": {}}, run / "last.ckpt")
    for slot, name in (("bridge", "somebodys.Bridge"), ("text", "somebodys.Text")):
        recorded = OmegaConf.to_container(config(f"{slot}._target_={name}"), resolve=True)
        OmegaConf.save(OmegaConf.create(recorded), run / "config.yaml")
        with pytest.raises(
            ValueError, match=rf"config.yaml: {slot}._target_={name} is code from .*add --trust"
        ):
            load_trained(run)
        assert not (elsewhere / "ran").exists()
    with pytest.raises(ValueError, match=r"text\._target_: somebodys has no class Text"):
        load_trained(run, trust=True)
    assert (elsewhere / "ran").exists()  # found beside runs/, from any working folder


def test_bad_input(run, tmp_path, tiny_text):
    with pytest.raises(
        FileNotFoundError, match=r"has no config.yaml: a trained run has config.yaml and last.ckpt"
    ):
        load_trained(tmp_path)
    weight = tiny_text.model.lm_head.weight
    weight.data.add_(1)
    with pytest.raises(
        ValueError, match=r"was trained with the text side .* Restore those weights, or train again"
    ):
        load_trained(run)
    weight.data.sub_(1)
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    del checkpoint["state_dict"]["model.bridge.query_tokens"]
    checkpoint["identity"] |= {"text": tiny_text.fingerprint}
    torch.save(checkpoint, run / "last.ckpt")
    with pytest.raises(ValueError, match=r"lacks \['bridge.query_tokens'\].*train again"):
        load_trained(run)
    state = checkpoint["state_dict"] | {"model.positions": torch.tensor(1.0)}
    torch.save(checkpoint | {"state_dict": state}, run / "last.ckpt")
    with pytest.raises(
        ValueError, match=r"does not fit the bridge of its config \(.*size mismatch for positions"
    ):
        load_trained(run)
    for state in ({1: torch.ones(1)}, {"model.mean": "x"}):
        torch.save(checkpoint | {"state_dict": state}, run / "last.ckpt")
        with pytest.raises(
            ValueError, match=r"no state_dict of tensors by name: it is not a run's last\.ckpt"
        ):
            load_trained(run)
    for content in (b"error", b"hello", b"Just text", b"q", b"\x80\x02"):
        (run / "last.ckpt").write_bytes(content)
        with pytest.raises(ValueError, match=r"last\.ckpt can't be read as a checkpoint of tensors alone \("):
            load_trained(run)
    with pytest.raises(FileNotFoundError, match=r"image .*nowhere.png is missing"):
        read_image("nowhere.png")
