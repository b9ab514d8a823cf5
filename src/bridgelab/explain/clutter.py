"""The cost of clutter: accuracy on the same questions without and with things on the ground that no question asks about."""

from collections.abc import Callable
from dataclasses import dataclass

from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import TokenizedExamples
from bridgelab.explain.paired_answers import paired_answers
from bridgelab.model import BridgedModel
from bridgelab.statistics.estimate import Estimate


@dataclass(frozen=True)
class Clutter:
    """Answers to the same questions without and with clutter.

    Args:
        plain: accuracy without clutter.
        cluttered: accuracy with clutter.
        cost: plain − cluttered, paired by question.
        likelihood_cost: by how much the right answer's log-probability falls, in nats.
    """

    plain: Estimate
    cluttered: Estimate
    cost: Estimate
    likelihood_cost: Estimate


def clutter(
    model: BridgedModel,
    plain: TokenizedExamples,
    cluttered: TokenizedExamples,
    metric: ExampleMetric,
    *,
    batch_size: int = 128,
    progress: Callable[[int], None] | None = None,
) -> Clutter:
    """Ask the same questions without and with clutter. Intervals are over images, which both share.

    Args:
        model: the bridge between its frozen backbones.
        plain: questions about scenes without clutter.
        cluttered: the same questions about the same scenes with clutter.
        metric: scores an answer.
        batch_size: of the answers.
        progress: called with the number of answers, over both.
    Raises:
        ValueError: if the questions differ.
    """
    questions = [[(e.prompt, e.answers) for e in tokenized.examples] for tokenized in (plain, cluttered)]
    if questions[0] != questions[1]:
        raise ValueError(
            f"{len(plain)} plain and {len(cluttered)} cluttered questions are not the same ones: a difference of pairs needs the "
            "same scenes. Draw both splits again with the same seed."
        )
    answers = paired_answers(model, plain, cluttered, metric, batch_size=batch_size, progress=progress)
    return Clutter(answers.first, answers.second, answers.loss, answers.likelihood_loss)
