from hypothesis import given
from hypothesis import strategies as st

from bridgelab.analysis.pareto import front

NUMBERS = st.integers(0, 5)


def test_the_front_is_what_no_other_beats():
    points = {"cheap": (1, 50), "middle": (2, 40), "good": (3, 80), "dear": (4, 80), "best": (5, 90)}
    assert front(points) == ["cheap", "good", "best"]
    assert front({}) == []
    assert front({"a": (1, 1), "b": (1, 1)}) == ["a", "b"]


@given(st.dictionaries(st.text(max_size=3), st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_each_point_is_on_the_front_or_beaten_by_one_on_it(points):
    found = front(points)
    assert found
    for name, (cost, value) in points.items():
        beaten = [
            other for other in found
            if points[other] != (cost, value) and points[other][0] <= cost and points[other][1] >= value
        ]  # fmt: skip
        assert (name in found) == (not beaten)
