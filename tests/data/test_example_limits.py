from collections import Counter

import pytest

from bridgelab.benchmark.example import Example
from bridgelab.data.example_limits import limit_examples, spread_groups


@pytest.mark.parametrize("most", [4, 15, 16, 37, 400])
def test_a_limit_leaves_groups_whole_and_spreads_over_them(most):
    """A consistency over parts of groups would be higher than the official one."""
    sizes = [1 + k % 4 for k in range(40)]  # 100 examples
    examples = [
        Example(f"{k}-{m}", ("/x.png",), "?", ("true",), "true_false", {"group": k})
        for k, size in enumerate(sizes)
        for m in range(size)
    ]
    chosen = spread_groups(examples, most)
    groups = Counter(e.tags["group"] for e in chosen)
    assert all(number == sizes[group] for group, number in groups.items())
    assert chosen == [e for e in examples if e in chosen]  # in their order
    assert most / 2 <= len(chosen) <= most or len(chosen) == 100
    assert max(groups) - min(groups) >= 10 or most == 4


def test_a_limit_below_a_group_is_refused():
    six = [Example(str(k), ("/x.png",), "?", ("true",), "true_false", {"group": "g"}) for k in range(6)]
    assert spread_groups(six, 0) == []
    with pytest.raises(
        ValueError, match=r"evaluate\.limit\.answer=5 is less than a group, such as the 6 examples of 'g'"
    ):
        spread_groups(six, 5)


def test_a_kind_without_examples_is_left_out():
    answers = [Example(str(k), ("/x.png",), "?", ("true",), "true_false", {"group": k}) for k in range(6)]
    of_kind = {"true_false": answers, "caption": []}
    limit = {"answer": 2, "caption": 3}
    kept = limit_examples(of_kind, limit, whole_groups=True)
    assert {kind: len(examples) for kind, examples in kept.items()} == {"true_false": 2}
