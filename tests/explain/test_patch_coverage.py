import numpy as np
import pytest

from bridgelab.explain.patch_coverage import disc_mask, patch_coverage, patches_of_objects


def test_shares_of_patches_by_counting_pixels():
    rng = np.random.default_rng(0)
    mask = rng.integers(-1, 3, (50, 35))  # no multiple of the grid
    result = patch_coverage(mask, 4, (4, 3))
    for row in range(4):
        for column in range(3):
            own = [
                mask[y, x]
                for y in range(50)
                for x in range(35)
                if y * 4 // 50 == row and x * 3 // 35 == column
            ]
            for k in range(4):  # the last is hidden
                assert result[k, row * 3 + column] == pytest.approx(np.mean(np.array(own) == k))


def test_a_tiny_object_is_shown_by_the_patch_that_has_most_of_it():
    mask = np.full((20, 20), -1)
    mask[9:11, 9] = 0  # two pixels, a patch each, 1 % of a patch
    assert patches_of_objects(mask, 2, (2, 2))[0].sum() == 2
    mask[8, 9] = 0
    assert patches_of_objects(mask, 2, (2, 2)).tolist() == [[True, False, False, False], [False] * 4]


def test_a_disc_has_its_size_and_nearer_ones_hide_farther_ones():
    far = {"size": "large", "pixel_coords": [240.0, 160.0, 10.5]}
    result = disc_mask([far], 320, 480)
    radius = 525 * 0.7 / 10.5  # CLEVR's camera: 525 pixels at depth 1 in an image 480 wide
    assert (result == 0).sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    near = {"size": "small", "pixel_coords": [240.0, 160.0, 8.0]}
    assert disc_mask([near, far], 320, 480)[160, 240] == 0
