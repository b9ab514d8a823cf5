"""Score predictions by each kind's official metric, and make the rows of `predictions.parquet`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
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
        Rows for `predictions.parquet`, of the examples that count, and values by `test/<metric>`, `test_shuffled/<metric>` and
        `test_captioned/<metric>`. A value that several kinds have is `<metric>_<kind>`; accuracy, by tag as well, and the majority
        floor are then over all of these kinds too.
    """
    rows: list[dict[str, Any]] = []
    floor_scores: dict[str, list[float]] = {}
    by_view: dict[str, dict[str, dict[str, float]]] = {}
    likelihoods: dict[str, float] = {}
    floors: dict[str, Floors] = {}
    names = image_names(
        path for of_kind in tests.values() for example in of_kind.examples for path in example.images
    )
    for kind, tokenized in tests.items():
        floors[kind] = ([None] * len(tokenized),) * 2
        if kind != "caption" and train.get(kind):
            floor = majority(train[kind], tokenized.examples)
            floors[kind] = floor, majority(train[kind], tokenized.examples, tags=("type", "family"))
            pairs = zip(floor, tokenized.examples, strict=True)
            floor_scores[kind] = [metrics[kind].score(m, e) for m, e in pairs if metrics[kind].counts(e)]
    for (kind, view), of_view in predictions.items():
        examples, metric = tests[kind].examples, metrics[kind]
        prefix = "test" if view == "image" else f"test_{view}"
        metric.reset()
        metric.distributed_available_fn = _no_other_processes
        metric.update([p.text for p in of_view], examples, [p.likelihoods for p in of_view])
        by_view.setdefault(prefix, {})[kind] = {name: float(v) for name, v in metric.compute().items()}
        likelihoods[f"{prefix}/likelihood_{kind}"] = float(np.mean([p.likelihood for p in of_view]))
        for example, prediction, *majorities in zip(examples, of_view, *floors[kind], strict=True):
            if metric.counts(example):
                rows.append(_row(example, names, kind, view, prediction, metric, *majorities))
    values = _over_kinds("test/majority", floor_scores)
    for prefix, of_kinds in by_view.items():
        view = prefix.removeprefix("test_") if prefix != "test" else "image"
        values |= _merged(prefix, of_kinds, [row for row in rows if row["view"] == view])
    return rows, values | likelihoods


def _over_kinds(name: str, scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the mean of all kinds' scores under a name and, if there are several kinds, each one's own under `<name>_<kind>`."""
    if not scores:
        return {}
    values = {name: float(np.mean([score for own in scores.values() for score in own]))}
    if len(scores) > 1:
        values |= {f"{name}_{kind}": float(np.mean(own)) for kind, own in scores.items()}
    return values


def _merged(
    prefix: str, of_kinds: Mapping[str, Mapping[str, float]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return the values of one view, of which no kind's replaces another's.

    Args:
        prefix: of their names.
        of_kinds: each kind's values by its metric's names.
        rows: of `predictions.parquet`, of this view.
    """
    values: dict[str, float] = {}
    for name in dict.fromkeys(name for own in of_kinds.values() for name in own):
        kinds = [kind for kind, own in of_kinds.items() if name in own]
        if len(kinds) == 1:
            values[f"{prefix}/{name}"] = of_kinds[kinds[0]][name]
            continue
        measure, slash, group = name.partition("/")
        # A mean of scores. Others, such as a share of groups, have no meaning over kinds.
        if measure == "accuracy":
            tag, _, level = group.partition("=")
            scores = [
                row["score"]
                for row in rows
                if row["kind"] in kinds and (not group or str(row.get(f"tag_{tag}")) == level)
            ]
            values[f"{prefix}/{name}"] = float(np.mean(scores))
        for kind in kinds:
            values[f"{prefix}/{measure}_{kind}{slash}{group}"] = of_kinds[kind][name]
    return values


def _no_other_processes() -> bool:
    return False


def image_names(paths: Iterable[str]) -> dict[str, str]:
    """Return a name for each image: the end of its path, folder and file, or as many parts as tell all of the images apart."""
    parts = {path: path.split("/") for path in paths}
    for length in count(2):  # ends: whole paths differ
        names = {path: "/".join(own[-length:]) for path, own in parts.items()}
        if len(set(names.values())) == len(names):
            break
    return names


def _row(
    example: Example,
    names: Mapping[str, str],
    kind: str,
    view: str,
    prediction: Prediction,
    metric: ExampleMetric,
    majority_of_type: str | None,
    majority_of_family: str | None,
) -> dict[str, Any]:
    row = {
        "id": example.id,
        "image": "|".join(names[path] for path in example.images),
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
