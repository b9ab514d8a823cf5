"""What a study declared before it ran: which bridge is the baseline, and the least difference that matters."""

from typing import NamedTuple

from bridgelab.runs.study import Study
from bridgelab.statistics.outcome import DELTA, check_delta

BASELINE = "linear"


class Declaration(NamedTuple):
    """A study's baseline and δ, and whether its records declare them or they are this version's defaults."""

    baseline: str
    delta: float
    declared: bool


def declaration(study: Study) -> Declaration:
    """Return what the records of a study declare.

    Raises:
        ValueError: if runs declare different baselines or δ, or a δ that is not between 0 and 1.
    """
    declared = {
        (str(run.record["verdict"]["baseline"]), float(run.record["verdict"]["delta"]))
        for run in study.runs
        if run.record.get("verdict")
    }
    if len(declared) > 1:
        listed = "; ".join(f"baseline={baseline}, delta={delta:g}" for baseline, delta in sorted(declared))
        raise ValueError(
            f"the runs of {study.name} declare {listed}. A study has one verdict: move the runs that differ to a study of their own."
        )
    if not declared:
        return Declaration(BASELINE, DELTA, False)
    baseline, delta = declared.pop()
    check_delta(delta)
    return Declaration(baseline, delta, True)
