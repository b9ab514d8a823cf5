import numpy as np
import pytest
import torch

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import Prediction
from bridgelab.explain import paired_answers
from bridgelab.explain.clutter import clutter


def prepared(text, folder, prompt="what is it ?"):
    examples = [Example(f"q{k}", (f"/{folder}/{k}.png",), prompt, ("red",), "answer") for k in range(100)]
    rows = {e.images[0]: k for k, e in enumerate(examples)}
    return TokenizedExamples(examples, text, rows, lambda chosen: torch.zeros(len(chosen), 1, 1))


def test_what_clutter_costs_is_a_difference_of_pairs(tiny_text, monkeypatch):
    """Planted: 80 of 100 answers are right without clutter, and clutter costs every fourth."""

    def planted(model, questions, rows, *, batch_size, progress):
        bad = questions.examples[0].images[0].startswith("/cluttered")
        wrong = [k >= 80 or (bad and k % 4 == 0) for k in rows]
        progress(len(rows), len(rows))
        return [Prediction("blue" if no else "red", -2.0 if no else -1.0) for no in wrong]

    monkeypatch.setattr(paired_answers, "predict", planted)
    calls = []
    result = clutter(
        None,
        prepared(tiny_text, "plain"),
        prepared(tiny_text, "cluttered"),
        Accuracy(),
        progress=calls.append,
    )
    assert (result.plain.value, result.cluttered.value) == pytest.approx((0.8, 0.6))
    assert result.cost.value == pytest.approx(0.2)
    assert result.likelihood_cost.value == pytest.approx(0.2)
    # Images are paired, so the variance is that of the 20 pairs that differ.
    assert result.cost.contrast.standard_error == pytest.approx(np.sqrt(0.2 * 0.8 / 99))
    assert calls == [100, 200]
    with pytest.raises(ValueError, match="100 plain and 100 cluttered questions are not the same ones"):
        clutter(None, prepared(tiny_text, "plain"), prepared(tiny_text, "b", "is it red ?"), Accuracy())
