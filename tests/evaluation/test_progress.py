import re

import pytest

from bridgelab.evaluation.progress import TenthsLog


@pytest.mark.parametrize(("of", "batch"), [(1000, 1), (1000, 128), (37, 5), (7, 1), (5, 128)])
def test_progress_is_said_once_a_tenth(caplog, of, batch):
    """Also where no batch ends on a tenth."""
    say = TenthsLog("answering")
    steps = [*range(batch, of, batch), of]
    with caplog.at_level("INFO", "bridgelab.evaluation.progress"):
        for done in steps:
            say("answer, image", done, of)
    said = [int(re.search(r"^answering: (\d+) of \d+, answer, image, ", line)[1]) for line in caplog.messages]
    assert said == [
        next(k for k in steps if k * 10 >= tenth * of)
        for tenth in sorted({10 * k // of for k in steps} - {0})
    ]
    assert said[-1] == of
    assert len(said) == min(10, len(steps))
