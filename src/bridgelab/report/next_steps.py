"""What to try next after a study's report: commands that follow from what came out."""

import shlex

from bridgelab.report.summary import Summary
from bridgelab.runs.study import Study
from bridgelab.runs.sweep import last_overrides


def next_steps(study: Study, summary: Summary, *, everything: bool) -> dict[str, str]:
    """Return commands by what they do.

    Args:
        study: the study.
        summary: its numbers.
        everything: whether all tables are printed already.
    """
    folder = shlex.quote(str(study.path))
    steps = {}
    if study.missing:
        steps["what is missing"] = f"bridgelab status {folder}"
    if not everything:
        steps["every table and note"] = f"bridgelab report {folder} --all"
    if any(row.convergence for row in summary.bridges):
        steps["what answers rest on"] = f"bridgelab diagnose {folder}"
    if last_overrides(study.path):
        steps["another bridge beside these"] = f"bridgelab study {folder} --add bridge=NAME"
    return steps
