"""BLEU, ROUGE-L, CIDEr-D and METEOR against the published scorer's numbers and their definitions."""

import json
import math
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.benchmark.metrics import coco_scores as module
from bridgelab.benchmark.metrics.coco_scores import coco_scores
from bridgelab.benchmark.metrics.meteor import meteor
from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
GOLDEN = SHARED / "golden_scorers" / "caption_clipscore_example.json"
BOTH = pytest.mark.parametrize(
    "stanford",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(stanford_jar() is None, reason="there is no java on PATH")
        ),
    ],
)


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"{GOLDEN} is not here: set BRIDGELAB_SHARED_DATA")
@pytest.mark.parametrize("quality", ["good", "bad"])
@BOTH
def test_published_scorer(quality, stanford):
    """clipscore's example: with Java's words and with ours."""
    golden = json.loads(GOLDEN.read_text())
    images = list(golden["refs"])
    scores = coco_scores(
        [golden[quality][i] for i in images], [golden["refs"][i] for i in images], stanford=stanford
    )
    expected = golden[f"expected_{quality}"]
    assert [scores[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(expected["BLEU"], abs=5e-7)
    assert scores["rouge_l"] == pytest.approx(expected["ROUGE_L"], abs=5e-7)
    assert scores["cider"] == pytest.approx(expected["CIDEr-D"], abs=5e-7)
    assert scores.get("meteor") == (pytest.approx(expected["METEOR"], abs=5e-7) if stanford else None)


def slow_bleu(predictions, references):
    """Papineni et al. 2002: clipped precision over the corpus, brevity penalty on the closest reference's length."""

    def counts(text, n):
        words = text.split()
        return Counter(tuple(words[k : k + n]) for k in range(len(words) - n + 1))

    pairs = list(zip(predictions, references, strict=True))
    precisions = []
    for n in (1, 2, 3, 4):
        right = sum(
            min(number, max(counts(r, n)[gram] for r in group))
            for p, group in pairs
            for gram, number in counts(p, n).items()
        )
        total = sum(counts(p, n).total() for p in predictions)
        precisions.append((right + 1e-15) / (total + 1e-9))  # as the published code keeps clear of 0
    length = sum(len(p.split()) for p in predictions)
    reference_length = sum(
        min((abs(len(r.split()) - len(p.split())), len(r.split())) for r in group)[1] for p, group in pairs
    )
    penalty = (
        1.0 if length >= reference_length else math.exp(1 - reference_length / length) if length else 0.0
    )
    return [penalty * math.prod(precisions[:n]) ** (1 / n) for n in (1, 2, 3, 4)]


def slow_rouge(prediction, group):
    """Lin 2004, with the best precision and the best recall of any reference."""

    def common(a, b):
        if not a or not b:
            return 0
        return common(a[1:], b[1:]) + 1 if a[0] == b[0] else max(common(a[1:], b), common(a, b[1:]))

    words = prediction.split()
    precision = max(common(words, r.split()) / max(1, len(words)) for r in group)
    recall = max(common(words, r.split()) / len(r.split()) for r in group)
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision) if precision else 0.0


words = st.sampled_from(["red", "cube", "left", "of", "a"])
spoken = st.lists(words, max_size=6).map(" ".join)
meant = st.lists(words, min_size=1, max_size=6).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(spoken, st.lists(meant, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_bleu_and_rouge_are_their_definitions(corpus):
    predictions, references = [item[0] for item in corpus], [item[1] for item in corpus]
    scores = coco_scores(predictions, references, stanford=False)
    for n, expected in enumerate(slow_bleu(predictions, references), start=1):
        assert scores[f"bleu_{n}"] == pytest.approx(expected, abs=1e-8)
    rouge = [slow_rouge(*item) for item in corpus]
    assert scores["rouge_l"] == pytest.approx(sum(rouge) / len(rouge))


def test_meteors_program_fails(monkeypatch, tmp_path):
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match="METEOR's program failed"):
        meteor(["a dog"], [["a dog"]])


def test_without_java(monkeypatch):
    monkeypatch.setattr(module, "stanford_jar", lambda: None)
    with pytest.raises(ValueError, match="stanford=True needs a java on PATH"):
        coco_scores(["a"], [["a"]], stanford=True)
