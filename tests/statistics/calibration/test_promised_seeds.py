import numpy as np
import pytest

from bridgelab.statistics.calibration.promised_seeds import promised_seeds
from bridgelab.statistics.calibration.simulation import Scenario


def test_how_often_a_cell_is_settled_by_what_would_settle_it():
    result = promised_seeds(Scenario("", seed_sd=0.03, images=300), difference=-0.12, studies=40)
    assert 5 < result.cells <= 40
    assert 0.5 < result.settled <= 1
    assert result.error == pytest.approx(np.sqrt(result.settled * (1 - result.settled) / result.cells))
