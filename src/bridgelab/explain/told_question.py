"""Whether a bridge uses the question that it is told: accuracy where it is told another example's."""

from collections.abc import Callable
from dataclasses import dataclass

from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import TokenizedExamples
from bridgelab.explain.paired_answers import paired_answers
from bridgelab.model import BridgedModel
from bridgelab.statistics.estimate import Estimate


@dataclass(frozen=True)
class ToldQuestion:
    """Answers of a bridge that is told the question, and of the same bridge told another example's.

    Args:
        own: accuracy where it is told the question.
        another: accuracy where it is told another example's.
        loss: own − another, paired by question. Near 0, the bridge does not use the question.
        likelihood_loss: by how much the right answer's log-probability falls, in nats.
    """

    own: Estimate
    another: Estimate
    loss: Estimate
    likelihood_loss: Estimate


def told_question(
    model: BridgedModel,
    own: TokenizedExamples,
    another: TokenizedExamples,
    metric: ExampleMetric,
    *,
    batch_size: int = 128,
    progress: Callable[[int], None] | None = None,
) -> ToldQuestion:
    """Tell the bridge the question, and then another example's. The language model reads the right one both times.

    Args:
        model: a bridge that is conditioned on the question, between its frozen backbones.
        own: the questions, of which the bridge is told each.
        another: the same questions, tokenized with `question="mismatched"`.
        metric: scores an answer.
        batch_size: of the answers.
        progress: called with the number of answers, over both.
    """
    answers = paired_answers(model, own, another, metric, batch_size=batch_size, progress=progress)
    return ToldQuestion(answers.first, answers.second, answers.loss, answers.likelihood_loss)
