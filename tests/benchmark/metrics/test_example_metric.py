"""What all metrics share: sums over processes, rows by tag, and bad input."""

import pytest
import torch

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import by_tag
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_processes_are_summed_and_padding_counts_once():
    """Two processes, gathered as torchmetrics does, equal one process over all; one id came twice."""
    examples = [example(k, "yes" if k % 3 else "no", group=f"ü{k // 2}") for k in range(5)]
    parts = [examples[:3], examples[2:]]
    here, there = GroupAccuracy(by=("group",)), GroupAccuracy(by=("group",))
    here.update(["yes"] * 3, parts[0])
    there.update(["yes"] * 3, parts[1])
    other = torch.cat(there.rows)
    gathered = GroupAccuracy(
        by=("group",), dist_sync_fn=lambda mine, group: [mine, other], distributed_available_fn=lambda: True
    )
    gathered.update(["yes"] * 3, parts[0])
    one = GroupAccuracy(by=("group",))
    one.update(["yes"] * 5, examples)
    assert gathered.compute() == one.compute()
    assert one.compute()["accuracy"] == 0.6


def test_rows_by_the_values_of_each_tag():
    rows = [{"tags": {"a": 2, "b": "x"}}, {"tags": {"a": 1}}, {"tags": {"a": 2, "b": "y"}}]
    assert list(by_tag(rows, ("b", "a", "c"))) == [
        ("b=x", [rows[0]]),
        ("b=y", [rows[2]]),
        ("a=1", [rows[1]]),
        ("a=2", [rows[0], rows[2]]),
    ]


def test_bad_input():
    metric = Accuracy()
    with pytest.raises(ValueError, match="1 predictions and 2 likelihoods for 2 examples"):
        metric.update(["yes"], [example(0), example(1)])
    metric.update([], [])
    with pytest.raises(ValueError, match="0 examples were seen"):
        metric.compute()
