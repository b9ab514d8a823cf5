"""A study's purpose, where its numbers come from, and how to reproduce them."""

import re
from collections import Counter
from typing import Any

from bridgelab.runs.study import Study
from bridgelab.runs.sweep import command

HASH_LETTERS = 16  # printed of a hash


def purpose(study: Study) -> list[tuple[str, str]]:
    """Return the study's question and hypothesis, as its yaml states them."""
    record = study.runs[0].record
    return [(name, str(record[name])) for name in ("question", "hypothesis") if record.get(name)]


def provenance(study: Study) -> list[tuple[str, str]]:
    """Return names and values: commit, versions, machine, fingerprints, data, and the time that the runs took."""
    records = [run.record for run in study.runs]

    def distinct(key: str) -> str:
        values = [record.get(key) for record in records]
        return ", ".join(dict.fromkeys(_text(value) for value in values if value is not None))

    reused = Counter(record["taken_from"].split("/")[0] for record in records if record.get("taken_from"))
    seconds = sum(float(record["costs"].get("wall_seconds") or 0) for record in records)
    pairs = [
        ("commit", distinct("git_sha")),
        ("versions", distinct("versions")),
        ("machine", distinct("machine")),
        ("fingerprints", distinct("fingerprints")),
        ("features", distinct("features_dtype")),
        ("steps", distinct("steps")),
        ("examples seen", distinct("examples_seen")),
        ("mixture", distinct("mixture")),
        ("precision", distinct("precision")),
        ("data seeds", distinct("data_seed")),
        ("runs", f"{len(records)}, {seconds / 3600:.1f} hours in all; runs in parallel count each by itself"),
        ("reused", ", ".join(f"{number} from {name}" for name, number in reused.items())),
    ]
    return [(name, value) for name, value in pairs if value]


def reproduction(study: Study) -> str:
    """Return the command that made the study."""
    return command(study.path, [run.name for run in study.runs])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text[:HASH_LETTERS] if re.fullmatch("[0-9a-f]{41,}", text) else text
