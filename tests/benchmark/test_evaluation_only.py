import pytest

from bridgelab.benchmark.evaluation_only import choose_test


def test_only_test():
    assert choose_test("test", "pope") == "test"
    with pytest.raises(
        ValueError,
        match=r"split='train': pope was published for evaluation only and has test alone\. Train on another",
    ):
        choose_test("train", "pope")
    with pytest.raises(ValueError, match="split='dev': must be one of test"):
        choose_test("dev", "pope")
