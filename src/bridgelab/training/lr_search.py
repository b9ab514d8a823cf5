"""Learning rate and warm-up of a bridge: the same search for each, once a study, shared by its seeds."""

import fcntl
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridgelab.runs.locks import locked
from bridgelab.runs.record import write_json

log = logging.getLogger(__name__)
Point = tuple[float, float]  # learning rate, warm-up


def search(
    folder: Path,
    rates: Sequence[float],
    trial: Callable[[float, float], dict[str, float]],
    *,
    warmup: float,
    warmups: Sequence[float] = (),
    extend: int = 0,
    config_hash: str,
) -> dict[str, Any]:
    """The rate and the warm-up with the lowest validation loss, of trials in `<folder>`, where each is made once.

    First all rates with one warm-up. While the best is the lowest or the highest, one more beyond it, at the distance of
    its neighbour, `extend` times at most: a grid that ends where a bridge is still getting better would favour those whose
    optimum it holds. Then, at the best rate, the other warm-ups.

    Jobs of one bridge that run at the same time share the trials out: a job takes one that nobody is at, and waits only
    when all are taken.

    Args:
        folder: of this bridge in this study.
        rates: at least three.
        trial: rate, warm-up -> what a short training with them gave, `val/loss` among it.
        warmup: with which rates are compared.
        warmups: others to be tried at the best rate.
        extend: most rates beyond the given ones.
        config_hash: of all choices but the seeds; trials of another config are refused.
    Returns:
        {lr, warmup, tuned_over, at_edge, trials, at_half}; `tuned_over` is what was asked for, the same for every bridge, and
        `at_half` the losses of schedules of half as many steps, where trials tell them: whether they would have chosen alike
        shows how far the choice may be extrapolated.
    Raises:
        ValueError: if there are fewer than three rates, trials of another config, or no finite loss.
    """
    rates = sorted({float(rate) for rate in rates})
    if len(rates) < 3:
        raise ValueError(
            f"tune.lrs={rates} has {len(rates)} values: a search needs at least 3. Add some to tune.lrs."
        )
    folder.mkdir(parents=True, exist_ok=True)
    made = _trials(folder, [(rate, warmup) for rate in rates], trial, config_hash)
    best = _best(made)
    for _ in range(extend):
        tried = sorted(rate for rate, _ in made)
        if best[0] not in (tried[0], tried[-1]):
            break
        beyond = tried[0] ** 2 / tried[1] if best[0] == tried[0] else tried[-1] ** 2 / tried[-2]
        made |= _trials(folder, [(float(f"{beyond:.3g}"), warmup)], trial, config_hash)
        best = _best(made)
    tried = sorted(rate for rate, _ in made)
    others = sorted({float(other) for other in warmups} - {warmup})
    made |= _trials(folder, [(best[0], other) for other in others], trial, config_hash)
    lr, chosen = _best(made)
    halves = {
        _name(point): one["half/val/loss"] for point, one in sorted(made.items()) if "half/val/loss" in one
    }
    return {
        "lr": lr,
        "warmup": chosen,
        "tuned_over": [*rates, *(f"warm-up {other:g}" for other in (warmup, *others) if others)],
        "at_edge": lr in (tried[0], tried[-1]),
        "trials": {_name(point): one["val/loss"] for point, one in sorted(made.items())},
        "at_half": halves,
    }


def _name(point: Point) -> str:
    return f"lr={point[0]:g},warmup={point[1]:g}"


def _best(made: dict[Point, dict[str, float]]) -> Point:
    best = min(made, key=lambda point: made[point]["val/loss"])
    if made[best]["val/loss"] == float("inf"):
        rates = sorted({rate for rate, _ in made})
        raise ValueError(f"no rate of {rates} gave a finite validation loss. Set tune.lrs lower.")
    return best


def _trials(
    folder: Path, points: Sequence[Point], trial: Callable[[float, float], dict[str, float]], config_hash: str
) -> dict[Point, dict[str, float]]:
    """What is told of the trial at each of some points, shared out among the jobs that ask at the same time."""

    def path(point: Point) -> Path:
        return folder / f"{_name(point)}.json"

    def make(point: Point) -> None:
        if not path(point).exists():
            began = time.monotonic()
            found = trial(*point)
            told = {"lr": point[0], "warmup": point[1], "config_hash": config_hash}
            write_json(path(point), {**told, "seconds": time.monotonic() - began, **found})
            log.info("%s: validation loss %.4f", _name(point), found["val/loss"])

    for point in points:  # what nobody is at
        with open(f"{path(point)}.lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            make(point)
    for point in points:  # what somebody was at
        with locked(Path(f"{path(point)}.lock")):
            make(point)
    trials = {point: json.loads(path(point).read_text()) for point in points}
    other = {found["config_hash"] for found in trials.values()} - {config_hash}
    if other:
        raise ValueError(
            f"{folder} holds trials of another config (hash {other.pop()}, this one {config_hash}): all of a "
            "study's trials share one. Give this run another study=NAME, or move that folder away."
        )
    return trials
