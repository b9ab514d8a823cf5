"""What to try next after a study's report: commands that follow from what came out."""

import shlex

from bridgelab.config.root import config_root
from bridgelab.report.summary import Summary
from bridgelab.runs.recorded_study import FROM_SCRATCH, record_of
from bridgelab.runs.study import Study
from bridgelab.runs.sweep import last_folders, last_launcher, last_overrides
from bridgelab.runs.warm_start_files import WARM


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
        allowed = [part for key in study.allow for part in ("--allow", key)]
        steps["every table and note"] = shlex.join(
            ["bridgelab", "report", str(study.path), "--all", *allowed]
        )
    if any(run.sees == "image" and (run.path / "last.ckpt").exists() for run in study.runs):
        steps["what answers rest on"] = f"bridgelab diagnose {folder}"
    if any(row.started_from.startswith(f"{WARM}:") for row in summary.bridges) and record_of(
        FROM_SCRATCH, config_root()
    ):
        steps["another bridge, beside recorded runs"] = "bridgelab study --add bridge=NAME"
    elif last_overrides(study.path) and not last_folders(study.path):
        row = shlex.join([*last_launcher(study.path), "bridge=NAME"])
        steps["another bridge beside these"] = f"bridgelab study {folder} --add {row}"
    return steps
