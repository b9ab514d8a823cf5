import numpy as np
import pytest
import torch

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import Prediction
from bridgelab.explain import paired_answers
from bridgelab.explain.paired_answers import paired_answers as answers_of


def test_what_another_question_costs_is_a_difference_of_pairs(tiny_text, monkeypatch):
    """Planted: told its own question the bridge is right on 80 of 100, told another's on 60 of these."""
    examples = [
        Example(f"q{k}", (f"/{k}.png",), f"what color is number {k} ?", ("red",), "answer")
        for k in range(100)
    ]
    rows = {e.images[0]: k for k, e in enumerate(examples)}
    own, another = (
        TokenizedExamples(examples, tiny_text, rows, lambda chosen: torch.zeros(len(chosen), 1, 1), told)
        for told in ("question", "mismatched")
    )

    def planted(model, questions, rows, *, batch_size, progress):
        told_own = questions.question_rows == np.arange(100)
        assert told_own.all() or not told_own.any()
        assert [e.prompt for e in questions.examples] == [
            e.prompt for e in examples
        ]  # the T5 reads the right ones
        wrong = [k >= 80 or (not told_own[k] and k % 4 == 0) for k in rows]
        return [Prediction("blue" if no else "red", -2.0 if no else -1.0) for no in wrong]

    monkeypatch.setattr(paired_answers, "predict", planted)
    result = answers_of(None, own, another, Accuracy())
    assert (result.first.value, result.second.value) == pytest.approx((0.8, 0.6))
    assert result.loss.value == pytest.approx(0.2)
    assert result.likelihood_loss.value == pytest.approx(0.2)
    assert result.loss.contrast.standard_error == pytest.approx(np.sqrt(0.2 * 0.8 / 99))
