"""Answers of one bridge to the same questions in two ways, compared question by question."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import predict
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import SINGLE_RUN, sample_of
from bridgelab.statistics.estimate import Estimate


@dataclass(frozen=True)
class PairedAnswers:
    """Accuracy in two ways.

    Args:
        first: accuracy in the first way.
        second: accuracy in the second way.
        loss: first − second, paired by question.
        likelihood_loss: by how much the right answer's log-probability falls, in nats.
    """

    first: Estimate
    second: Estimate
    loss: Estimate
    likelihood_loss: Estimate


def paired_answers(
    model: BridgedModel,
    first: TokenizedExamples,
    second: TokenizedExamples,
    metric: ExampleMetric,
    *,
    batch_size: int = 128,
    progress: Callable[[int], None] | None = None,
) -> PairedAnswers:
    """Answer the same questions in two ways. Intervals are over images, which both share.

    Args:
        model: the bridge between its frozen backbones.
        first: the questions as they are asked first.
        second: the same questions in the same order, with what differs.
        metric: scores an answer.
        batch_size: of the answers.
        progress: called with the number of answers, over both.
    """
    scores, likelihoods = [], []
    for done_before, tokenized in ((0, first), (len(first), second)):
        report = (lambda done, _, before=done_before: progress(before + done)) if progress else None
        answers = predict(model, tokenized, np.arange(len(tokenized)), batch_size=batch_size, progress=report)
        scores.append([metric.score(one.text, e) for one, e in zip(answers, tokenized.examples, strict=True)])
        likelihoods.append([one.likelihood for one in answers])
    sample = sample_of(first.examples)
    one, other = (sample.mean(row[None], SINGLE_RUN) for row in np.array(scores, dtype=float))
    nats = np.array(likelihoods)
    likelihood_loss = sample.mean(nats[:1] - nats[1:], SINGLE_RUN, within_unit=False)
    return PairedAnswers(one, other, one - other, likelihood_loss)
