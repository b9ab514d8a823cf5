import json
import math
import threading
import time

import pytest

from bridgelab.training import lr_search as tune


def search(folder, rates, trial, *, warmup=0.05, **choices):
    return tune.search(folder, rates, trial, warmup=warmup, **choices)


def test_the_lowest_loss_wins_and_each_trial_is_made_once(tmp_path):
    made = []

    def trial(rate, warmup):
        made.append(rate)
        return {"val/loss": (rate - 0.01) ** 2}

    for _ in range(2):
        found = search(tmp_path, [0.1, 0.001, 0.01], trial, config_hash="h")
        assert found["lr"] == 0.01
        assert found["tuned_over"] == [0.001, 0.01, 0.1]
        assert not found["at_edge"]
    assert made == [0.001, 0.01, 0.1]
    assert search(tmp_path / "b", [1, 2, 3], lambda rate, warmup: {"val/loss": rate}, config_hash="h")[
        "at_edge"
    ]


def test_jobs_share_the_trials_out(tmp_path):
    made, found = [], []

    def job(name):
        def trial(rate, warmup):
            made.append((name, rate))
            time.sleep(0.2)
            return {"val/loss": -rate}

        found.append(search(tmp_path, [1, 2, 3, 4], trial, config_hash="h"))

    jobs = [threading.Thread(target=job, args=(name,)) for name in "ab"]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert sorted(rate for _, rate in made) == [1, 2, 3, 4]
    assert {name for name, _ in made} == {"a", "b"}
    assert found[0] == found[1]


def test_a_failed_trial_is_made_again(tmp_path):
    def fails(rate, warmup):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        search(tmp_path, [1, 2, 3], fails, config_hash="h")
    assert search(tmp_path, [1, 2, 3], lambda rate, warmup: {"val/loss": rate}, config_hash="h")["lr"] == 1


def test_a_diverged_rate_is_not_taken(tmp_path):
    found = search(
        tmp_path, [1, 2, 3], lambda r, warmup: {"val/loss": float("inf") if r < 3 else 9.0}, config_hash="h"
    )
    assert found["lr"] == 3
    assert json.loads((tmp_path / "lr=1,warmup=0.05.json").read_text())["config_hash"] == "h"


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"tune\.lrs=\[1\.0, 2\.0\] has 2 values: a search needs at least 3"):
        search(tmp_path, [1, 2, 2], lambda rate, warmup: {"val/loss": rate}, config_hash="h")
    with pytest.raises(ValueError, match=r"no rate .* finite validation loss"):
        search(tmp_path / "a", [1, 2, 3], lambda rate, warmup: {"val/loss": float("inf")}, config_hash="h")
    search(tmp_path / "b", [1, 2, 3], lambda rate, warmup: {"val/loss": rate}, config_hash="h")
    with pytest.raises(ValueError, match=r"trials of another config \(hash h, this one g\).*study=NAME"):
        search(tmp_path / "b", [1, 2, 3], lambda rate, warmup: {"val/loss": rate}, config_hash="g")


@pytest.mark.parametrize(
    ("key", "told"), [("start", "from other weights"), ("code", "of other code")], ids=["weights", "code"]
)
def test_trials_from_other_weights_or_of_other_code_are_refused(tmp_path, key, told):
    def searched(value):
        return search(
            tmp_path, [1, 2, 3], lambda rate, warmup: {"val/loss": rate}, config_hash="h", **{key: value}
        )

    searched(None)  # from before trials named their weights
    assert searched("w@1")["lr"] == 1
    for path in tmp_path.glob("*.json"):
        path.unlink()
    searched("w@1")
    assert searched(None)["lr"] == searched("w@1")["lr"] == 1  # None: the file is gone
    with pytest.raises(ValueError, match=rf"trials {told} \(w@1, this one w@2\).*study=NAME"):
        searched("w@2")


def test_trials_on_other_data_are_refused_before_any_is_made(tmp_path):
    made = []

    def searched(rates, **fingerprints):
        def trial(rate, warmup):
            made.append(rate)
            return {"val/loss": rate}

        return search(tmp_path, rates, trial, config_hash="h", fingerprints=fingerprints)

    searched([1, 2, 3])  # from before trials named their data and backbones
    assert searched([1, 2, 3], data="d1", text="t1")["lr"] == 1
    searched([2, 3, 4], data="d1", text="t1")
    assert made == [1, 2, 3, 4]
    assert json.loads((tmp_path / "lr=4,warmup=0.05.json").read_text())["fingerprint_data"] == "d1"
    with pytest.raises(
        ValueError, match=r"trials with another fingerprint of data \(d1, this one d2\).*study=NAME"
    ):
        searched([3, 4, 5], data="d2", text="t1")
    with pytest.raises(ValueError, match=r"another fingerprint of text \(t1, this one t2\)"):
        searched([3, 4, 5], data="d1", text="t2")
    assert made == [1, 2, 3, 4]


def valley(lowest):
    return lambda rate, warmup: {"val/loss": abs(math.log(rate / lowest)) + abs(warmup - 0.2)}


@pytest.mark.parametrize(
    ("lowest", "found", "tried", "at_edge"),
    [
        (2, 2, [1, 2, 4], False),  # inside of the grid: nothing is added
        (9, 8, [1, 2, 4, 8, 16], False),
        (0.5, 0.5, [0.25, 0.5, 1, 2, 4], False),
        (90, 16, [1, 2, 4, 8, 16], True),  # not for ever
    ],
)
def test_a_best_rate_at_an_end_is_looked_beyond(tmp_path, lowest, found, tried, at_edge):
    result = search(tmp_path, [1, 2, 4], valley(lowest), extend=2, config_hash="h")
    assert result["lr"] == found
    assert result["at_edge"] is at_edge
    rates = [float(name.split(",")[0].removeprefix("lr=")) for name in result["trials"]]
    assert rates == tried
    assert result["tuned_over"] == [1, 2, 4]  # the same for every bridge, however far its search went


def test_what_half_of_the_steps_would_have_chosen_is_told(tmp_path):
    def trial(rate, warmup):
        return {"val/loss": rate, "half/val/loss": 3 - rate, "half/steps": 5}

    result = search(tmp_path, [1, 1.5, 2], trial, config_hash="h")
    assert result["lr"] == 1
    assert result["at_half"] == {"lr=1,warmup=0.05": 2, "lr=1.5,warmup=0.05": 1.5, "lr=2,warmup=0.05": 1}
    assert search(tmp_path / "other", [1, 2, 4], valley(2), config_hash="h")["at_half"] == {}


@pytest.mark.parametrize(
    ("lowest_at_half", "lowest", "finalists", "found", "tried"),
    [
        (2.5, 4, 2, 4, [2, 4]),  # half would have chosen the other finalist
        (1.2, 90, 2, 2, [1, 2]),  # the best of all is out: it was far behind at half
        (9, 9, 1, 8, [8]),  # half looks beyond the ends of the grid
    ],
)
def test_finalists_alone_take_all_steps(tmp_path, lowest_at_half, lowest, finalists, found, tried):
    halves, whole = [], []

    def half_trial(rate, warmup):
        halves.append(rate)
        return {"half/val/loss": valley(lowest_at_half)(rate, warmup)["val/loss"]}

    def trial(rate, warmup):
        whole.append(rate)
        return valley(lowest)(rate, warmup)

    for _ in range(2):
        result = search(
            tmp_path, [1, 2, 4], trial, extend=2, finalists=finalists, half_trial=half_trial, config_hash="h"
        )
        assert result["lr"] == found
        assert list(result["trials"]) == [f"lr={rate},warmup=0.05" for rate in tried]
        assert list(result["at_half"]) == [f"lr={rate:g},warmup=0.05" for rate in sorted(halves)]
    assert sorted(whole) == tried  # each once
    assert len(halves) == len(set(halves)) >= 3


def test_warm_ups_are_tried_at_the_best_rate(tmp_path):
    result = search(tmp_path, [1, 2, 4], valley(2), warmups=[0.02, 0.05, 0.2], config_hash="h")
    assert (result["lr"], result["warmup"]) == (2, 0.2)
    assert set(result["trials"]) == {
        "lr=1,warmup=0.05", "lr=2,warmup=0.05", "lr=4,warmup=0.05", "lr=2,warmup=0.02", "lr=2,warmup=0.2"
    }  # fmt: skip
    assert result["tuned_over"] == [1, 2, 4, "warm-up 0.05", "warm-up 0.02", "warm-up 0.2"]
