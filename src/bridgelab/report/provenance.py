"""Where a study's numbers come from, and how to have them again."""

import re
from collections import Counter
from typing import Any

from bridgelab.runs.study import Study
from bridgelab.runs.sweep import command


def provenance(study: Study) -> list[tuple[str, str]]:
    """Names and values: commits, versions, machines, fingerprints, data, what was seen, and the time that it took."""
    records = [run.record for run in study.runs]

    def each(key: str) -> str:
        values = [record.get(key) for record in records]
        return ", ".join(dict.fromkeys(_told(value) for value in values if value is not None))

    taken = Counter(record["taken_from"].split("/")[0] for record in records if record.get("taken_from"))
    seconds = sum(float(record["costs"].get("wall_seconds") or 0) for record in records)
    found = [
        ("commit", each("git_sha")),
        ("versions", each("versions")),
        ("machine", each("machine")),
        ("fingerprints", each("fingerprints")),
        ("features", each("features_dtype")),
        ("steps", each("steps")),
        ("examples seen", each("examples_seen")),
        ("of them", each("mixture")),
        ("precision", each("precision")),
        ("data seeds", each("data_seed")),
        ("runs", f"{len(records)}, {seconds / 3600:.1f} hours in all, one beside the other counted twice"),
        ("taken over", ", ".join(f"{number} from {name}" for name, number in taken.items())),
    ]
    return [(name, value) for name, value in found if value]


def reproduction(study: Study) -> str:
    """The command that made the study."""
    return command(study.path, [run.name for run in study.runs])


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(one)}" for key, one in value.items())
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text[:16] if re.fullmatch("[0-9a-f]{41,}", text) else text
