import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.statistics.multiple_testing import holm


def test_holm_as_in_a_worked_example():
    # By hand: 3 × .01, then 2 × .02, then 1 × .03, raised to the step before.
    np.testing.assert_allclose(holm(np.array([0.02, 0.01, 0.03])), [0.04, 0.03, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(values):
    p = np.array(values)
    rejected, order = np.zeros(len(p), dtype=bool), np.argsort(p)
    for step, place in enumerate(order):
        if not p[place] * (len(p) - step) < 0.05:
            break
        rejected[place] = True
    np.testing.assert_array_equal(holm(p) < 0.05, rejected)
