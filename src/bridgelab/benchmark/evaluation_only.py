"""Benchmarks that were published for evaluation only: nothing may be trained or chosen on them."""

from bridgelab.benchmark.example import choose


def choose_test(split: str, name: str) -> str:
    """Return the split if it is test.

    Raises:
        ValueError: if not, with what to do where training asked.
    """
    if split in ("train", "val"):
        raise ValueError(
            f"split={split!r}: {name} was published for evaluation only and has test alone. "
            "Train on another benchmark, and ask this one for 'test'."
        )
    return choose(split, ("test",), "split")
