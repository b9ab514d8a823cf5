import numpy as np
import pytest

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.power.variances import at_size


def test_as_many_seeds_and_images_as_there_were_change_nothing():
    result = Contrast(
        np.array(-0.03), np.array([3e-4, 2e-4]), np.array([1e-4, 1e-4]), np.array(4e-4), (3, 3), 300
    )
    again = at_size(result, 3, 1)
    assert again.variance == pytest.approx(result.variance)
    assert again.degrees_of_freedom == pytest.approx(result.degrees_of_freedom)
    assert at_size(result, 6, 2).variance == pytest.approx(
        (2e-4 + 1e-4) / 2 + 2e-4 / 2 + 2e-4 / 4  # seeds, images, and their intersection
    )
