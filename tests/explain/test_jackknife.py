import numpy as np
import pytest

from bridgelab.explain.jackknife import jackknife


def test_a_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    result = jackknife(lambda chosen: float(values[chosen].mean()), 400)
    assert result.value == pytest.approx(values.mean())
    assert result.contrast.standard_error == pytest.approx(2 / 20, rel=0.35)  # of 20 groups
    with pytest.raises(ValueError, match="1 image: a jackknife leaves some out"):
        jackknife(lambda chosen: 0.0, 1)
