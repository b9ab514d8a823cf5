"""What the runs of one table share: where anything but the bridge differs, a difference says nothing of the bridge.

Run are the record's own findings (`SHARED`: fingerprints of what is frozen, data, examples seen, …) and every choice of the
run's `config.yaml`. Runs may differ in what their study sweeps: such a factor makes rows of its own, and within one level of it
all is alike. Any other difference is refused, unless a reader allows it by name, which the table then says.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.runs.finished_run import Run
from bridgelab.runs.identity import INDIFFERENT, NOT_IDENTITY, WEIGHTS
from bridgelab.runs.older_names import current_key, with_current_keys
from bridgelab.runs.record_schema import mapping, read_yaml

SHARED = (
    "benchmark",
    "fingerprints",
    "features_dtype",
    "insert",
    "positions",
    "examples_seen",
    "mixture",
    "tuned_over",
    "precision",
)
# What a row that sees no image has none of, and what one that trains nothing (plain words) has none of.
OF_IMAGES = ("fingerprints.vision", "features_dtype", "vision", "data.dtype")
OF_TRAINING = ("examples_seen", "mixture", "tuned_over", "train", "tune", "optim")
# Choices that say nothing of what was learned or answered: whose run it is, where things lie, how soon and how often.
FREE = (
    *NOT_IDENTITY, *INDIFFERENT, "study", "seed", "data_seed", "evaluate.shuffled",
)  # fmt: skip
# What a choice brings with it in the record.
FOLLOWS = MappingProxyType(
    {
        "vision": ("fingerprints.vision",),
        "text": ("fingerprints.text", "fingerprints.data"),
        "benchmark": ("fingerprints.data",),
        "data.dtype": ("features_dtype",),
        "data.on_error": ("fingerprints.data",),
        "model.insert": ("insert",),
        "model.positions": ("positions",),
        "train.steps": ("examples_seen", "mixture"),
        "train.batch_size": ("examples_seen", "mixture"),
        "train.stages": ("mixture",),
        "train.simple_objects": ("fingerprints.data", "mixture"),
        "train.val_limit": ("fingerprints.data",),
        "train.lr": ("tuned_over",),
        "train.precision": ("precision",),
        "tune": ("tuned_over",),
    }
)
TOLD = 5  # differences in one message
Pairs = list[tuple[Run, Mapping[str, Any]]]  # runs, each with values by full name


@dataclass(frozen=True)
class Difference:
    """A key in which two runs differ that should not."""

    key: str
    value: Any
    run: str
    expected: Any
    first: str

    def __str__(self) -> str:
        return f"{self.key}={self.value!r} in {self.run}, but {self.expected!r} in {self.first}"


def check_comparable(
    study: Path, runs: Sequence[Run], factors: Sequence[str], allow: Sequence[str] = ()
) -> list[str]:
    """Refuse runs that differ in what is neither swept nor allowed.

    Args:
        study: their folder.
        runs: all that a table is of.
        factors: that the study sweeps, beside bridges and seeds.
        allow: names of keys in which they may differ nonetheless, with all that lies below and follows from them.
    Returns:
        What was allowed and does differ, in words, a line a key.
    Raises:
        ValueError: naming runs, keys, both values and the fix; or if `allow` names what no run has.
    """
    chosen: Pairs = [(run, configured(run.path)) for run in runs]
    recorded: Pairs = [
        (run, {name: value for key in SHARED for name, value in _leaves(key, run.record.get(key))})
        for run in runs
    ]
    # The runs of a row mostly have one config between them: one of them speaks for all.
    speaking: dict[tuple[str, int], tuple[Run, Mapping[str, Any]]] = {}
    for run, found in chosen:
        speaking.setdefault((run.row, id(found)), (run, found))
    few = list(speaking.values())
    of_choices, of_records = (_keys(pairs) for pairs in (few, recorded))
    keys = [*of_choices, *of_records]
    for name in allow:
        if current_key(name) != name:
            raise ValueError(f"--allow {name}: this key is now {current_key(name)}. Write the new name.")
        if not any(_below(key, name) for key in keys):
            raise ValueError(
                f"--allow {name}: no run of {study} has such a key. Name one that differs, such as train.steps, or a group of "
                "them, such as train."
            )
    compared = [*((key, few) for key in of_choices), *((key, recorded) for key in of_records)]
    differing = [one for key, pairs in compared if (one := _difference(key, pairs, factors))]
    allowed = [one for one in differing if any(covers(name, one.key) for name in allow)]
    refused = [one for one in differing if one not in allowed]
    # What follows from another difference is not told a second time.
    causes = [one for one in refused if not any(_follows(other.key, one.key) for other in refused)]
    if causes:
        fix = [part for one in causes for part in ("--allow", one.key)]
        told = "; ".join(str(one) for one in causes[:TOLD])
        more = f"; and {len(causes) - TOLD} more keys" if len(causes) > TOLD else ""
        raise ValueError(
            f"{told}{more}. Runs of one table share all but the bridge, its seeds and what their study sweeps, or they say nothing "
            "about the bridge: run the study again from one configuration (delete the run that is out of date), move the run to a "
            f"study of its own, sweep what differs, or allow it, which the table then says: "
            f"`{shlex.join(['bridgelab', 'report', str(study), *fix])}`."
        )
    return [_told(one.key, recorded if one.key in of_records else chosen) for one in allowed]


def covers(factor: str, key: str) -> bool:
    """Whether a key may differ where a factor does: it is the factor, lies below it, or follows from it."""
    return _below(key, factor) or _follows(factor, key)


def configured(run: Path) -> Mapping[str, Any]:
    """A run's choices by full name, but for `FREE` ones, from its config.yaml; empty where it has none.

    Raises:
        Malformed: if it holds no plain mapping.
    """
    path = run / "config.yaml"
    if not path.exists():
        return {}
    # The configs of one bridge differ in two lines, so that each text is parsed once, to one object.
    return read_yaml(path, lambda text: _parsed(re.sub(r"(?m)^(data_)?seed: .*\n", "", text)))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Mapping[str, Any]:
    content = with_current_keys(mapping(text))
    leaves = (leaf for key in content for leaf in _leaves(key, content[key]))
    # Where weights lie differs from machine to machine; whether they are the same is told by their fingerprint.
    return MappingProxyType(
        {
            name: value.rpartition("/")[2] if name in WEIGHTS and isinstance(value, str) else value
            for name, value in leaves
            if not any(_below(name, free) for free in FREE)
        }
    )


def _keys(pairs: Pairs) -> list[str]:
    return list(dict.fromkeys(key for _, found in pairs for key in found))


def _difference(key: str, pairs: Pairs, factors: Sequence[str]) -> Difference | None:
    """The first two runs that differ in a key, among those at the same levels of what it may differ with."""
    covering = [factor for factor in factors if covers(factor, key)]
    own = _below(key, "bridge")
    first: dict[tuple[str, ...], tuple[Run, Any]] = {}
    for run, found in _bearing(key, pairs):
        level = (run.row if own else "", *(run.levels.get(factor, "") for factor in covering))
        other, expected = first.setdefault(level, (run, found))
        if found != expected:
            return Difference(key, found, run.name, expected, other.name)
    return None


def _bearing(key: str, pairs: Pairs) -> Iterator[tuple[Run, Any]]:
    """The runs that have such a key, with its values."""
    recorded = any(_below(key, name) for name in SHARED)
    of_images, of_training = (any(_below(key, name) for name in names) for names in (OF_IMAGES, OF_TRAINING))
    for run, found in pairs:
        # A choice that the version of one run did not have is no difference.
        if (
            (run.sees == "image" or not of_images)
            and (run.trains or not of_training)
            and (recorded or key in found)
        ):
            yield run, found.get(key)


def _told(key: str, pairs: Pairs) -> str:
    by_value: dict[str, list[str]] = {}
    for run, found in _bearing(key, pairs):
        by_value.setdefault(repr(found), []).append(run.name)
    parts = [
        f"{value} in {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for value, names in by_value.items()
    ]
    return f"{key}: {', '.join(parts)}"


def _below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _follows(choice: str, key: str) -> bool:
    return any(
        (_below(choice, cause) or _below(cause, choice)) and any(_below(key, one) for one in brought)
        for cause, brought in FOLLOWS.items()
    )


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Values with their full names, so that a message names the one that differs."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from _leaves(f"{name}.{key}", value[key])
    else:
        yield name, value
