"""A share of names is its size, the same in any order, and another with another seed."""

import pytest

from bridgelab.benchmark.share import check_share, draw_share


def test_a_share():
    names = [str(k) for k in range(100)]
    drawn = draw_share(names, 0.2, 0)
    assert len(drawn) == 20
    assert drawn == draw_share(reversed([*names, *names]), 0.2, 0) != draw_share(names, 0.2, 1)
    assert len(draw_share(names[:3], 0.01, 0)) == 1
    assert check_share(0.5, "val_share") == 0.5


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_no_share(share):
    with pytest.raises(
        ValueError, match=rf"val_share={share}: must lie between 0 and 1. Set benchmark.val_share"
    ):
        check_share(share, "val_share")
