"""What the finished runs of a study declare: the baseline, and the least difference that matters. Free of torch."""

from pathlib import Path

from bridgelab.runs.finished import RECORD
from bridgelab.runs.record_schema import Malformed, read_record


def another_verdict(study: Path, baseline: str, delta: float) -> dict[str, object] | None:
    """Return what a finished run of a study declares instead of this baseline and δ; None if all runs that declare anything declare these.

    Records that can't be read are left to the report, which names them.
    """
    for path in sorted(study.glob(f"*/{RECORD}")):
        try:
            declared = read_record(path.parent).get("verdict")
        except (Malformed, OSError):
            continue
        if declared and (str(declared["baseline"]), float(declared["delta"])) != (baseline, float(delta)):
            return {"baseline": declared["baseline"], "delta": declared["delta"]}
    return None
