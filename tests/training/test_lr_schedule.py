import math

import pytest

from bridgelab.training.lr_schedule import lr_schedule


def test_schedules():
    shapes = ("linear", "cosine", "constant", "warmup_stable_decay")
    linear, cosine, constant, stable = (lr_schedule(s, 100, 0.1) for s in shapes)
    half = lr_schedule("warmup_stable_decay", 100, 0.1, end=50)
    for factor in (linear, cosine, constant, stable, half):
        assert [factor(k) for k in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert linear(55) == pytest.approx(0.5)
    assert linear(100) == pytest.approx(0.0)
    assert cosine(10 + 30) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert constant(99) == 1
    assert [stable(k) for k in (10, 79, 80, 90, 99, 100)] == pytest.approx([1, 1, 1, 0.5, 0.05, 0])
    assert [half(k) for k in (10, 39, 40, 45, 50)] == pytest.approx([1, 1, 1, 0.5, 0])
    with pytest.raises(
        ValueError, match=r"train\.schedule\.shape='step' must be one of linear, cosine, constant"
    ):
        lr_schedule("step", 10, 0.1)
