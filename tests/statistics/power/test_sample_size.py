import numpy as np
import pytest

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.outcome import CANNOT_TELL, decide_outcomes, judge, p_values
from bridgelab.statistics.power.sample_size import describe_sample_size, required_sample_size
from bridgelab.statistics.power.variances import at_size


def known(value, error, runs=(3, 3), number=300):
    """Return a difference whose variance is nine tenths of images and one tenth of seeds."""
    seeds = np.full(len(runs), 0.1 * error**2 / len(runs))
    return Contrast(np.array(value), seeds, 0 * seeds, np.array(0.9 * error**2), runs, number)


@pytest.mark.parametrize("value", [-0.06, 0.0])
def test_the_seeds_asked_for_are_the_fewest_that_settle_a_cell(value):
    error = 0.03 if value else 0.011
    result = Contrast(np.array(value), np.full(2, error**2 / 2), np.zeros(2), np.array(1e-5), (3, 3), 1000)
    assert judge({"cell": result})["cell"].outcome == CANNOT_TELL
    size = required_sample_size(result, 0.02, 1)
    assert describe_sample_size(size) == f"{size.seeds} seeds would settle it"
    # Independent: values and variances of seeds and images are drawn one by one, by definition.
    rng = np.random.default_rng(1)

    def settled(seeds):
        plan, studies = at_size(result, seeds, 1), 4000
        study = Contrast(
            rng.normal(value, plan.standard_error, studies),
            plan.seed_variance * rng.chisquare(seeds - 1, (studies, 2)) / (seeds - 1),
            np.zeros((studies, 2)),
            plan.image_variance * rng.chisquare(999, studies) / 999,
            plan.num_runs,
            plan.num_images,
        )
        return np.mean(decide_outcomes(*(p[:, None] for p in p_values(study, 0.02)))[0] != CANNOT_TELL)

    assert settled(size.seeds) > 0.78
    assert settled(size.seeds - 1) < 0.82


def test_with_unequal_seeds_the_bridge_with_fewer_is_brought_up_first():
    spread = np.array([4e-4, 1e-6])  # of the means of 3 and of 12 seeds: the former is all that is uncertain
    result = Contrast(np.array(-0.06), spread, np.zeros(2), np.array(1e-5), (3, 12), 1000)
    assert describe_sample_size(required_sample_size(result, 0.02, 1)) == "12 seeds would settle it"
    by_images = required_sample_size(known(0.0, 0.02, runs=(3, 12)), 0.02, 1)
    assert by_images.seeds == 12  # the chance was computed for 12 seeds of either
    assert by_images.image_factor > 1


def test_images_are_asked_for_where_seeds_would_not_do():
    assert "times the images would settle it" in describe_sample_size(
        required_sample_size(known(0.0, 0.03), 0.02, 1)
    )
    assert "50 times the images would not settle it" in describe_sample_size(
        required_sample_size(known(-0.02, 0.01), 0.02, 1)
    )
