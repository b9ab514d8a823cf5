import numpy as np
import pytest

from bridgelab.statistics.calibration.promised_power import promised_power
from bridgelab.statistics.calibration.simulation import Scenario


# 400 studies: 80 % has a standard deviation of 2 points; `make calibrate` has 2,000.
@pytest.mark.parametrize("seeds", [3, 10])
def test_the_difference_promised_is_found_as_often_as_promised(seeds):
    result = promised_power(Scenario("", seed_sd=0.02, images=100), seeds=seeds, studies=400, single_pilots=5)
    assert result.detected >= 0.77 - 0.04
    assert result.error == pytest.approx(np.sqrt(result.detected * (1 - result.detected) / 400))
