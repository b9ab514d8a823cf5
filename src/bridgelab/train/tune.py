"""The learning rate of a bridge: the same search for each, once a study, shared by its seeds."""

import fcntl
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridgelab.data.features import locked
from bridgelab.train.record import write_json

log = logging.getLogger(__name__)


def search(
    folder: Path,
    rates: Sequence[float],
    trial: Callable[[float], dict[str, float]],
    *,
    config_hash: str,
) -> dict[str, Any]:
    """The rate with the lowest validation loss, from `<folder>/<rate>.json`, where each trial is made once.

    Jobs of one bridge that run at the same time share the trials out: a job takes a rate that nobody is at,
    and waits only when all are taken.

    Args:
        folder: of this bridge in this study.
        rates: at least three.
        trial: a rate -> what a short training with it gave, `val/loss` among it.
        config_hash: of all choices but the seeds; trials of another config are refused.
    Returns:
        {lr, tuned_over, at_edge, trials}.
    Raises:
        ValueError: if there are fewer than three rates, trials of another config, or no finite loss.
    """
    rates = sorted({float(rate) for rate in rates})
    if len(rates) < 3:
        raise ValueError(
            f"tune.lrs={rates} has {len(rates)} values: a search needs at least 3. Add some to tune.lrs."
        )
    folder.mkdir(parents=True, exist_ok=True)

    def path(rate: float) -> Path:
        return folder / f"lr={rate:g}.json"

    def make(rate: float) -> None:
        if not path(rate).exists():
            began = time.monotonic()
            found = trial(rate)
            write_json(
                path(rate),
                {"lr": rate, "config_hash": config_hash, "seconds": time.monotonic() - began, **found},
            )
            log.info("lr %g: validation loss %.4f", rate, found["val/loss"])

    for rate in rates:  # what nobody is at
        with open(path(rate).with_suffix(".lock"), "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            make(rate)
    for rate in rates:  # what somebody was at
        with locked(path(rate).with_suffix(".lock")):
            make(rate)
    trials = {rate: json.loads(path(rate).read_text()) for rate in rates}
    other = {t["config_hash"] for t in trials.values()} - {config_hash}
    if other:
        raise ValueError(
            f"{folder} holds trials of another config (hash {other.pop()}, this one {config_hash}): all of a "
            "study's trials share one. Give this run another study=NAME, or move that folder away."
        )
    finite = [rate for rate in rates if trials[rate]["val/loss"] < float("inf")]
    if not finite:
        raise ValueError(f"no rate of {rates} gave a finite validation loss. Set tune.lrs lower.")
    best = min(finite, key=lambda rate: trials[rate]["val/loss"])
    return {
        "lr": best,
        "tuned_over": rates,
        "at_edge": best in (rates[0], rates[-1]),
        "trials": {f"{rate:g}": trials[rate]["val/loss"] for rate in rates},
    }
