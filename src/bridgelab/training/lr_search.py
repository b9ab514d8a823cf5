"""The search for a bridge's learning rate and warm-up: the same for each bridge, once per study, shared by its seeds."""

import functools
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridgelab.runs.initial_weights import INIT_FROM
from bridgelab.runs.locks import locked
from bridgelab.runs.own_code import OWN_CODE
from bridgelab.runs.record import write_json

log = logging.getLogger(__name__)
Point = tuple[float, float]  # learning rate, warm-up
HALF_LOSS = "half/val/loss"
FINGERPRINT = "fingerprint_"  # begins the key of a fingerprint in a trial
Results = dict[Point, dict[str, float]]  # metrics of each trial
Trial = Callable[[float, float], dict[str, float]]  # learning rate, warm-up -> metrics


def search(
    folder: Path,
    rates: Sequence[float],
    trial: Trial,
    *,
    warmup: float,
    warmups: Sequence[float] = (),
    extend: int = 0,
    finalists: int | None = None,
    half_trial: Trial | None = None,
    config_hash: str,
    start: str | None = None,
    code: str | None = None,
    fingerprints: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the learning rate and warm-up with the lowest validation loss.

    First all rates are tried with one warm-up. While the best rate is the lowest or the highest, one more is tried beyond it,
    at the distance of its neighbour. Otherwise the grid would favour bridges whose optimum it happens to hold. Then the other
    warm-ups are tried at the best rate.

    With `finalists` all of this is done with half of the steps, and that many of the best continue to the end (successive halving,
    Jamieson and Talwalkar 2016, arXiv:1502.07943). So a rate is chosen at the steps that it serves, at less cost.

    Jobs of one bridge that run at the same time share the trials. Each job does trials that no other job is doing, and then
    waits for those of the others.

    Args:
        folder: of this bridge's trials in this study.
        rates: at least three.
        trial: learning rate, warm-up -> metrics of a short training, `val/loss` among them.
        warmup: with which rates are compared.
        warmups: others to try at the best rate.
        extend: the most rates to add beyond the given ones.
        finalists: the number of trials that take all steps; None for all.
        half_trial: as `trial` with half of the steps, and `half/val/loss` in place of `val/loss`; for `finalists`.
        config_hash: of everything but the seeds; trials of another config are refused.
        start: the file of weights that trials start from, as `runs.initial_weights` names it; trials from others are refused.
        code: of a user-defined bridge, as `runs.own_code` names it; trials of other code are refused.
        fingerprints: of the frozen models and the data, by name; trials with others are refused.
    Returns:
        {lr, warmup, tuned_over, at_edge, trials, at_half}. `tuned_over` is what was requested, the same for every bridge.
        `at_half` holds losses of schedules of half as many steps: if they would have led to the same choice, it may be
        extrapolated to longer runs.
    Raises:
        ValueError: if there are fewer than three rates, trials of another config, of other code, from other weights or with other
            fingerprints, or no finite loss.
    """
    rates = sorted({float(rate) for rate in rates})
    if len(rates) < 3:
        raise ValueError(
            f"tune.lrs={rates} has {len(rates)} values: a search needs at least 3. Add some to tune.lrs."
        )
    folder.mkdir(parents=True, exist_ok=True)
    first = trial if finalists is None or half_trial is None else half_trial
    loss = "val/loss" if first is trial else HALF_LOSS
    about = {
        "config_hash": config_hash,
        **({INIT_FROM: start} if start else {}),
        **({OWN_CODE: code} if code else {}),
        **{f"{FINGERPRINT}{name}": fingerprint for name, fingerprint in (fingerprints or {}).items()},
    }
    run = functools.partial(_trials, folder, trial=first, about=about, loss=loss)
    others = sorted({float(other) for other in warmups} - {warmup})
    results = _try_grid(run, rates, warmup=warmup, others=others, extend=extend, loss=loss)
    tried = sorted(rate for rate, _ in results)
    halves = {point: result[HALF_LOSS] for point, result in sorted(results.items()) if HALF_LOSS in result}
    if first is not trial:
        best_first = sorted(results, key=lambda point: results[point][loss])[:finalists]
        results = _trials(folder, best_first, trial=trial, about=about)
    lr, best_warmup = _best(results)
    return {
        "lr": lr,
        "warmup": best_warmup,
        "tuned_over": [*rates, *(f"warm-up {other:g}" for other in (warmup, *others) if others)],
        "at_edge": lr in (tried[0], tried[-1]),
        "trials": {point_name(point): result["val/loss"] for point, result in sorted(results.items())},
        "at_half": {point_name(point): half for point, half in halves.items()},
    }


def point_name(point: Point) -> str:
    """Return the name of a trial, as its file and a record's `tuning` have it."""
    return f"lr={point[0]:g},warmup={point[1]:g}"


def _try_grid(
    run: Callable[[list[Point]], Results],
    rates: Sequence[float],
    *,
    warmup: float,
    others: Sequence[float],
    extend: int,
    loss: str,
) -> Results:
    """Return the results of all rates, of rates beyond an end of the grid, and of the other warm-ups at the best rate."""
    results = run([(rate, warmup) for rate in rates])
    best, _ = _best(results, loss)
    for _ in range(extend):
        tried = sorted(rate for rate, _ in results)
        if best not in (tried[0], tried[-1]):
            break
        beyond = tried[0] ** 2 / tried[1] if best == tried[0] else tried[-1] ** 2 / tried[-2]
        results |= run([(float(f"{beyond:.3g}"), warmup)])
        best, _ = _best(results, loss)
    return results | run([(best, other) for other in others])


def _best(results: Results, loss: str = "val/loss") -> Point:
    best = min(results, key=lambda point: results[point][loss])
    if results[best][loss] == float("inf"):
        rates = sorted({rate for rate, _ in results})
        raise ValueError(f"no rate of {rates} gave a finite validation loss. Set tune.lrs lower.")
    return best


def _trials(
    folder: Path, points: Sequence[Point], *, trial: Trial, about: Mapping[str, str], loss: str = "val/loss"
) -> Results:
    """Return the results of trials, sharing the work with jobs that need them at the same time.

    Args:
        folder: of the search.
        points: of the trials.
        trial: learning rate, warm-up -> metrics.
        about: what all trials of a search share.
        loss: the metric that a trial gives.
    Raises:
        ValueError: if the folder holds trials of another search.
    """

    def path(point: Point) -> Path:
        return folder / f"{point_name(point)}{'.half' if loss == HALF_LOSS else ''}.json"

    def run(point: Point) -> None:
        if not path(point).exists():
            clock = time.monotonic()
            metrics = trial(*point)
            own = {"lr": point[0], "warmup": point[1], **about}
            write_json(path(point), {**own, "seconds": time.monotonic() - clock, **metrics})
            log.info("%s: validation loss %.4f", path(point).stem, metrics[loss])

    def finished() -> Results:
        results = {point: json.loads(path(point).read_text()) for point in points if path(point).exists()}
        for key, own in about.items():
            # Trials from before they named their weights and fingerprints stand.
            if other := {result[key] for result in results.values() if key in result} - {own}:
                raise ValueError(
                    f"{folder} holds trials {_told(key)}{other.pop()}, this one {own}): all of a "
                    "study's trials share one. Give this run another study=NAME, or move that folder away."
                )
        return results

    finished()  # trials of another search are refused before any is made
    for point in points:  # those that no other job is doing
        with locked(Path(f"{path(point)}.lock"), wait=False) as own:
            if own:
                run(point)
    for point in points:  # wait for the others
        with locked(Path(f"{path(point)}.lock")):
            run(point)
    return finished()


def _told(key: str) -> str:
    """Return how a message tells of trials that differ in this key."""
    if key == INIT_FROM:
        return "from other weights ("
    if key == OWN_CODE:
        return "of other code ("
    if key.startswith(FINGERPRINT):
        return f"with another fingerprint of {key.removeprefix(FINGERPRINT)} ("
    return "of another config (hash "
