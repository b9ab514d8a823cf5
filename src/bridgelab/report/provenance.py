"""A study's purpose, where its numbers come from, and how to reproduce them."""

import re
import shlex
from collections import Counter
from typing import Any

from bridgelab.runs.comparability import configured
from bridgelab.runs.finished import is_finished
from bridgelab.runs.repeat_command import OVERRIDES, every_command, kept_overrides
from bridgelab.runs.run import Run
from bridgelab.runs.run_name import bridge_of, row_keys
from bridgelab.runs.study import Study
from bridgelab.runs.warm_start_files import WARM

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
    """Return the commands that made the study, a line each."""
    trained = [run.name for run in study.runs if not is_evaluation(run)]
    evaluated: dict[tuple[str, ...], list[str]] = {}
    for run in study.runs:
        if is_evaluation(run):
            folders = evaluated.setdefault(tuple(_choices(run)), [])
            if not is_published(run):
                folders.append(str(study.beside(run.record["trained_in"]) / run.path.name))
    lines = [
        *([every_command(study.path, trained)] if trained else []),
        *(
            shlex.join(["bridgelab", "evaluate", *folders, *choices])
            for choices, folders in evaluated.items()
        ),
    ]
    return "\n".join(lines)


def evaluation_of(study: Study, bridge: str) -> str:
    """Return the command that adds a bridge to a study of evaluations, whose first run tells how."""
    run = study.runs[0]
    if is_published(run):
        choices = [one for one in _choices(run) if not one.startswith("bridge=")]
        source = choices[1] if choices[1] == WARM else "SOURCE"
        return shlex.join(["bridgelab", "evaluate", "--bridge", source, f"bridge={bridge}", *choices[2:]])
    trained = study.beside(run.record["trained_in"])
    there = trained.is_dir() and any(
        bridge_of(one.name) == bridge and is_finished(one) for one in trained.iterdir()
    )
    evaluate = f"bridgelab evaluate {shlex.quote(str(trained))}/* {shlex.join(_choices(run))}".strip()
    if there:
        return evaluate
    return f"{shlex.join(['bridgelab', 'study', str(trained), '--add', *row_keys([f'bridge={bridge}'])])} && {evaluate}"


def is_evaluation(run: Run) -> bool:
    """Return whether `bridgelab evaluate` wrote a run: only such a record names a split, or the study of the training."""
    return bool({"split", "trained_in"} & set(run.record))


def is_published(run: Run) -> bool:
    """Return whether a run is a published bridge, which no study has trained."""
    return is_evaluation(run) and not run.record.get("trained_in")


def _choices(run: Run) -> list[str]:
    """Return the arguments of an evaluation beside its runs: as they were given, or if that was not recorded, those in its record."""
    record, own = run.record, configured(run.path)
    source = ["--bridge", str(own.get("bridge.init_from", "SOURCE"))] if is_published(run) else []
    name = str(record.get("split", "test"))
    split = [] if name == "test" else ["--split", name]
    if (run.path / OVERRIDES).exists():
        return [*source, *split, *kept_overrides(run.path)]
    benchmark, (first, _, _) = str(record["benchmark"]), str(record.get("study", "")).rpartition("_on_")
    benchmark = benchmark.removesuffix(f"_{name}")
    given = {
        "bridge": run.bridge if source else None,
        "seed": run.seed if WARM in source else None,
        "benchmark": benchmark if benchmark != record.get("trained_on") else None,
        "evaluate.tokens": own.get("evaluate.tokens"),
        "study": first if first != record.get("trained_in", "published") else None,
    }
    return [*source, *split, *(f"{key}={value}" for key, value in given.items() if value is not None)]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text[:HASH_LETTERS] if re.fullmatch("[0-9a-f]{41,}", text) else text
