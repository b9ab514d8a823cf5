import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.pareto import pareto_front

NUMBERS = st.integers(0, 5)


def right(share, images=400):
    """Return the accuracy of three seeds that are right on the first `share` of the images."""
    scores = np.tile(np.arange(images) < share * images, (3, 1)).astype(float)
    return Sample(np.arange(images)).mean(scores, Runs((0, 0, 0)))


def test_the_front_is_what_none_is_told_to_beat():
    points = {
        "cheap": (1, 0.5),
        "middle": (2, 0.4),
        "good": (3, 0.8),
        "near": (3, 0.79),
        "dear": (4, 0.6),
        "best": (5, 0.9),
    }
    result = pareto_front({name: (cost, right(value)) for name, (cost, value) in points.items()})
    # One point less at the same cost is not significant.
    assert result == ["cheap", "good", "near", "best"]
    assert pareto_front({}) == []
    assert pareto_front(
        {name: (cost, Estimate(value, {})) for name, (cost, value) in points.items()}
    ) == sorted(points, key=lambda name: points[name][0])


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_each_point_is_on_the_front_or_beaten_by_one_on_it(points):
    result = pareto_front({name: (cost, right(0.1 + 0.15 * value)) for name, (cost, value) in points.items()})
    assert result
    for name, (cost, value) in points.items():
        # 15 points on 400 images are significant.
        beaten = [other for other in result if points[other][0] <= cost and points[other][1] > value]
        assert (name in result) == (not beaten)
