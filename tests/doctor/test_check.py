import pytest

from bridgelab.doctor.check import duration, size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (6_270_000, "6.3 MB"), (999_600, "1.0 MB"), (43.4e9, "43 GB"), (12e15, "12000 TB")],
)  # fmt: skip
def test_bytes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012 s"), (1.23, "1.2 s"), (45, "45 s"), (119, "119 s"), (150, "2.5 min"), (3600, "60 min"), (9000, "2.5 h"),
     (10 * 86400, "10 days")],
)  # fmt: skip
def test_seconds(seconds, text):
    assert duration(seconds) == text
