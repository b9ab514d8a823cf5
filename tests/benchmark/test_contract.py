"""A benchmark class of the user's own is told what it breaks."""

import pytest

from bridgelab.benchmark.contract import check_benchmark, read_examples
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy

ONE = Example("1", ("/1.png",), "?", ("yes",), "answer")


class Mine:
    name, splits, kinds = "mine", ("test",), ("answer",)
    given, as_list = (ONE,), True

    def examples(self, split, kind):
        return list(self.given) if self.as_list else self.given

    def metrics(self):
        return {"answer": Accuracy()}


def test_what_keeps_to_the_contract_is_returned():
    mine = Mine()
    assert check_benchmark(mine) is mine
    assert read_examples(mine, "test", "answer") == [ONE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, r"Mine\.name='': must be text, the benchmark's name in the record"),
        ({"kinds": "answer"}, r"Mine\.kinds='answer': must be a tuple of answer, caption, true_false, choice"),
        ({"kinds": ("answers",)}, r"Mine\.kinds=\('answers',\): must be a tuple"),
        ({"given": (), "as_list": False}, r"Mine\.examples\('test', 'answer'\) gives \(\): must be a list of Example of kind 'answer'"),
        ({"given": ({"id": 1},)}, r"gives \{'id': 1\}: must be a list of Example"),
        ({"given": (Example("1", ("/1.png",), "?", ("red",), "caption"),)}, r"gives Example\(id='1'.*of kind 'answer'"),
        ({"given": (ONE, ONE)}, r"Mine\.examples\('test', 'answer'\): id '1' occurs 2 times, and must be unique"),
        ({"metrics": lambda self: {}}, r"Mine\.metrics\(\)\['answer'\] is None: must be an ExampleMetric"),
    ],
)  # fmt: skip
def test_what_breaks_it_is_refused(change, message):
    mine = type("Mine", (Mine,), change)()
    with pytest.raises(ValueError, match=message):
        read_examples(check_benchmark(mine), "test", "answer")


@pytest.mark.parametrize("lacking", ["name", "splits", "kinds"])
def test_what_it_lacks_is_named(lacking):
    members = {
        key: value for key, value in vars(Mine).items() if key not in (lacking, "__dict__", "__weakref__")
    }
    with pytest.raises(ValueError, match=rf"Mine has no {lacking}: a benchmark has name, splits and kinds"):
        check_benchmark(type("Mine", (), members)())
