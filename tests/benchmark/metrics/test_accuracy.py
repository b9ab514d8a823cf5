"""Exact-match accuracy by hand."""

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_accuracy_by_tag():
    examples = [
        example(0, type="exist", hops=0),
        example(1, "2", type="count", hops=0),
        example(2, "3", type="count", hops=2),
        example(3, ("red", "New\u00a0 York")),
    ]
    metric = Accuracy(by=("type", "hops"))
    metric.update(["yes ", "2"], examples[:2])
    metric.update(["2", "New York"], examples[2:])  # a T5 writes no other white space
    assert metric.compute() == {
        "accuracy": 0.75,
        "accuracy/type=count": 0.5,
        "accuracy/type=exist": 1.0,
        "accuracy/hops=0": 1.0,
        "accuracy/hops=2": 0.0,
    }
    metric.reset()
    metric.update(["Yes", "yes no"], [example(0), example(1)])
    assert metric.compute() == {"accuracy": 0.0}
