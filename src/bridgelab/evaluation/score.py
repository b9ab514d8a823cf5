"""What predictions are worth: rows of `predictions.parquet`, and each kind's official metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.majority import majority
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import Prediction, predict_views
from bridgelab.model import BridgedModel

# Majority answers of an example's type, and of its type and family; None without training examples.
Floors = tuple[Sequence[str | None], Sequence[str | None]]


def score(
    predictions: Mapping[tuple[str, str], Sequence[Prediction]],
    tests: Mapping[str, TokenizedExamples],
    metrics: Mapping[str, ExampleMetric],
    train: Mapping[str, list[Example]],
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Score predictions by each kind's official metric.

    `predict` gives every process all predictions, so one process scores them, and its metrics do not sync.

    Args:
        predictions: by kind and view, in the order of the examples.
        tests: the examples by kind.
        metrics: each kind's official metric.
        train: training examples by kind, for the majority floor; a kind without any has none.
    Returns:
        Rows for `predictions.parquet`, and values by `test/<metric>`, `test_shuffled/<metric>` and `test_captioned/<metric>`.
    """
    rows: list[dict[str, Any]] = []
    values: dict[str, float] = {}
    floors: dict[str, Floors] = {}
    for kind, tokenized in tests.items():
        floors[kind] = ([None] * len(tokenized),) * 2
        if kind != "caption" and train.get(kind):
            floor = majority(train[kind], tokenized.examples)
            floors[kind] = floor, majority(train[kind], tokenized.examples, tags=("type", "family"))
            scores = [metrics[kind].score(m, e) for m, e in zip(floor, tokenized.examples, strict=True)]
            values["test/majority"] = float(np.mean(scores))
    for (kind, view), of_view in predictions.items():
        examples, metric = tests[kind].examples, metrics[kind]
        prefix = "test" if view == "image" else f"test_{view}"
        metric.reset()
        metric.distributed_available_fn = _no_other_processes
        metric.update([p.text for p in of_view], examples, [p.likelihoods for p in of_view])
        values |= {f"{prefix}/{name}": float(value) for name, value in metric.compute().items()}
        values[f"{prefix}/likelihood_{kind}"] = float(np.mean([p.likelihood for p in of_view]))
        for example, prediction, *majorities in zip(examples, of_view, *floors[kind], strict=True):
            rows.append(_row(example, kind, view, prediction, metric, *majorities))
    return rows, values


def _no_other_processes() -> bool:
    return False


def _row(
    example: Example,
    kind: str,
    view: str,
    prediction: Prediction,
    metric: ExampleMetric,
    majority_of_type: str | None,
    majority_of_family: str | None,
) -> dict[str, Any]:
    row = {
        "id": example.id,
        "image": "|".join("/".join(path.split("/")[-2:]) for path in example.images),
        "kind": kind,
        "view": view,
        "prompt": example.prompt,
        "target": example.answers[0],
        "prediction": prediction.text,
        "score": float(metric.score(prediction.text, example)),
        "likelihood": prediction.likelihood,
    }
    if prediction.likelihoods is not None:
        row["likelihoods"] = list(prediction.likelihoods)
    row |= {"majority": majority_of_type, "majority_of_family": majority_of_family}
    return row | {f"tag_{name}": value for name, value in example.tags.items()}


def evaluate(
    model: BridgedModel,
    tests: dict[str, TokenizedExamples],
    metrics: Mapping[str, ExampleMetric],
    train: Mapping[str, list[Example]],
    **choices: Any,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Predict all test examples in all views and score them, in one process: `predict_views`, then `score`.

    Args:
        model: the trained bridge between its backbones.
        tests: the examples by kind.
        metrics: each kind's official metric.
        train: training examples by kind, for the majority floor.
        choices: the other arguments of `predict_views`.
    """
    return score(predict_views(model, tests, **choices), tests, metrics, train)
