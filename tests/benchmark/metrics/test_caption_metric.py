"""The metric of captions: its values, whose tokeniser it names, and what it refuses."""

import importlib.util
import math
import os
from dataclasses import replace

import pytest

from bridgelab.benchmark.coco_captions import CocoCaptions
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics import caption_metric
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar

BOTH = pytest.mark.parametrize(
    "stanford",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(stanford_jar() is None, reason="there is no java on PATH")
        ),
    ],
)
REFERENCE = "a large red metal cube , a small blue rubber sphere , a small gray metal cylinder ."


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_caption_metric(monkeypatch):
    monkeypatch.setattr(caption_metric, "stanford_jar", lambda: None)  # Java takes seconds
    examples = [
        example(0, REFERENCE, "caption"),
        example(1, ("a large green rubber cube .", REFERENCE), "caption"),
    ]
    metric = CaptionMetric()
    metric.update([REFERENCE, "a large green rubber sphere ."], examples)
    values = metric.compute()
    assert values["caption_attributes"] == pytest.approx((1 + 3 / 4) / 2)
    assert values["caption_objects"] == 0.5
    assert (values["caption_shape"], values["caption_color"]) == (0.5, 1)
    assert 0 < values["cider"] < 10
    assert metric.score(REFERENCE, examples[0]) == 1
    photographs = CaptionMetric(attributes=False)
    photographs.update(
        ["a dog runs", "two cats"], [example(0, "a dog  runs", "caption"), example(1, "a cat", "caption")]
    )
    assert set(photographs.compute()) == {
        "cider", "rouge_l", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "stanford_tokens",
    }  # fmt: skip
    assert photographs.score("two cats", example(1, "a cat", "caption")) == 0


def test_captions_outside_of_what_cider_is_defined_on(monkeypatch):
    """On one image every weight is log(1/1) = 0, so that even the reference itself scores 0."""
    monkeypatch.setattr(caption_metric, "stanford_jar", lambda: None)  # Java takes seconds
    photographs, scenes = CaptionMetric(attributes=False), CaptionMetric()
    one = [example(0, ("a dog runs", "a dog is running"), "caption")]
    photographs.update(["a dog runs"], one)
    assert photographs.compute()["cider"] == 0
    with pytest.raises(
        ValueError, match=r"1 captions of 1 image: .* Set evaluate\.limit\.caption to at least 2"
    ):
        photographs.check(one)
    two = [*one, replace(example(1, "a cat", "caption"), images=("/y.png",))]
    assert photographs.check(two).startswith(
        "CIDEr-D over 2 images with 1.5 references each is not comparable"
    )
    published = [
        replace(example(k, "abcde", "caption"), images=(f"/{k}.png",), answers=tuple("abcde"))
        for k in range(1000)
    ]
    assert photographs.check(published) is None
    with pytest.raises(ValueError, match="'a cat' names no object"):
        scenes.check(two[1:], scores_only=True)


@BOTH
def test_the_metric_says_whose_words_it_counts(monkeypatch, stanford):
    monkeypatch.setattr(caption_metric, "stanford_jar", stanford_jar if stanford else lambda: None)
    metric = CaptionMetric(attributes=False)
    answers = ("A dog's bowl.", "The bowl (empty) of a dog")
    metric.update(
        ["a dog's bowl", ""], [Example(str(k), ("/x.png",), "say", answers, "caption") for k in (0, 1)]
    )
    values = metric.compute()
    assert values["stanford_tokens"] == stanford
    assert ("meteor" in values) == stanford
    assert values["rouge_l"] == 0.5
    assert values["bleu_1"] == pytest.approx(math.exp(1 - 8 / 4))


def test_a_broken_java_costs_no_run(monkeypatch, tmp_path, caplog):
    (tmp_path / "java").write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    metric = CaptionMetric(attributes=False)
    metric.update(["a dog"], [Example("0", ("/x.png",), "say", ("a dog",), "caption")])
    values = metric.compute()
    assert (values["stanford_tokens"], values["rouge_l"]) == (0, 1)
    assert "own tokeniser" in caplog.text
    assert "no memory" in caplog.text


def test_without_the_scorer(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert CaptionMetric().attributes
    for build in (lambda: CaptionMetric(attributes=False), lambda: CocoCaptions(tmp_path)):
        with pytest.raises(
            ValueError, match=r"need the package pycocoevalcap.*Run: pip install pycocoevalcap"
        ):
            build()
