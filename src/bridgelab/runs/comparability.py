"""Check that the runs of one table differ in the bridge alone, so that their differences are due to it.

Compared are keys of the record (`SHARED`: fingerprints of the frozen models and the data, examples seen, …) and every key of
`config.yaml`. Runs may differ in the factors that their study sweeps. Each level of a factor has rows of its own, and within
a level all keys are equal. A bridge's budget, and with `bridge.insert` where its tokens enter the T5, may differ from the others', since
they are part of it. Any other difference is an error, unless the reader allows its key, which a note under the table
then says.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.runs.identity import CHECKPOINTING, DEVICE_MAP, INDIFFERENT, NOT_IDENTITY, WEIGHTS
from bridgelab.runs.older_names import current_key, with_current_keys
from bridgelab.runs.record_schema import mapping, read_yaml
from bridgelab.runs.run import Run

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
# Keys that do not concern a row that sees no image, and those that do not concern one that trains nothing (plain words).
OF_IMAGES = ("fingerprints.vision", "features_dtype", "vision", "data.dtype")
OF_TRAINING = ("examples_seen", "mixture", "tuned_over", "train", "tune", "optim", "trainer")
# Groups of the config that are part of a bridge: a budget solves its choices, as if its yaml had them so.
OF_BRIDGES = ("bridge", "budget")
# Config keys without effect on what is learned or answered.
FREE = (
    *NOT_IDENTITY, *INDIFFERENT, "study", "seed", "data_seed", "evaluate.shuffled", CHECKPOINTING, DEVICE_MAP,
)  # fmt: skip
# Keys of the record that follow from a key of the config.
FOLLOWS = MappingProxyType(
    {
        "vision": ("fingerprints.vision",),
        "text": ("fingerprints.text", "fingerprints.data"),
        # Adapters leave the T5's own weights as they are.
        "text.adapt": (),
        "text.prompt_tokens": (),
        "text.lora": (),
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
MAX_DIFFERENCES = 5  # in one message
Pairs = list[tuple[Run, Mapping[str, Any]]]  # runs, each with its values by full key


@dataclass(frozen=True)
class Difference:
    """A key in which two runs differ but must not."""

    key: str
    value: Any
    run: str
    expected: Any
    first: str

    def __str__(self) -> str:
        return f"{self.key}={self.value!r} in {self.run}, but {self.expected!r} in {self.first}"


def check_comparable(
    study: Path,
    runs: Sequence[Run],
    factors: Sequence[str],
    allow: Sequence[str] = (),
    *,
    every_key: bool = True,
) -> list[str]:
    """Check that runs differ only in keys that are swept or allowed.

    Args:
        study: the folder of the runs.
        runs: all runs of a table.
        factors: keys that the study sweeps apart from bridges and seeds.
        allow: further keys in which runs may differ, with the keys below them and those that follow from them.
        every_key: whether to refuse a key of `allow` that no run has.
    Returns:
        One line for each allowed key in which runs differ.
    Raises:
        ValueError: if runs differ in another key, with the runs, both values and the fix; or if no run has a key of `allow`.
    """
    chosen: Pairs = [(run, configured(run.path)) for run in runs]
    recorded: Pairs = [
        (run, {name: value for key in SHARED for name, value in _leaves(key, run.record.get(key))})
        for run in runs
    ]
    # Most runs of a row share one config object. One run stands for all of them.
    representatives: dict[tuple[str, int], tuple[Run, Mapping[str, Any]]] = {}
    for run, values in chosen:
        representatives.setdefault((run.row, id(values)), (run, values))
    few = list(representatives.values())
    of_choices, of_records = (_keys(pairs) for pairs in (few, recorded))
    _check_allow(allow, study, [*of_choices, *of_records] if every_key else None)
    compared = [*((key, few) for key in of_choices), *((key, recorded) for key in of_records)]
    differing = [one for key, pairs in compared if (one := _difference(key, pairs, factors))]
    allowed = [one for one in differing if any(covers(name, one.key) for name in allow)]
    if causes := _causes([one for one in differing if one not in allowed]):
        raise _not_comparable(study, causes)
    return [_summary(one.key, recorded if one.key in of_records else chosen) for one in _causes(allowed)]


def _check_allow(allow: Sequence[str], study: Path, keys: Sequence[str] | None) -> None:
    """Check the keys that a reader allows: each by its current name and, unless `keys` is None, one of these or above one."""
    for name in allow:
        if current_key(name) != name:
            raise ValueError(f"--allow {name}: this key is now {current_key(name)}. Write the new name.")
        if keys is not None and not any(_below(key, name) for key in keys):
            raise ValueError(
                f"--allow {name}: no run of {study} has such a key. Name one that differs, such as train.steps, or a group of "
                "them, such as train."
            )


def _not_comparable(study: Path, causes: Sequence[Difference]) -> ValueError:
    """Return the error on runs that differ in other keys than they may, with the fix."""
    fix = [part for one in causes for part in ("--allow", one.key)]
    differences = "; ".join(str(one) for one in causes[:MAX_DIFFERENCES])
    more = f"; and {len(causes) - MAX_DIFFERENCES} more keys" if len(causes) > MAX_DIFFERENCES else ""
    return ValueError(
        f"{differences}{more}. Runs of one table share all but the bridge, its seeds and what their study sweeps, or they say nothing "
        "about the bridge: run the study again from one configuration (delete the run that is out of date), move the run to a "
        f"study of its own, sweep what differs, or allow it, which the table then says: "
        f"{shlex.join(['bridgelab', 'report', str(study), *fix])}"
    )


def covers(factor: str, key: str) -> bool:
    """Return whether a key may differ between levels of a factor: it is the factor, lies below it, or follows from it."""
    return _below(key, factor) or _follows(factor, key)


def configured(run: Path) -> Mapping[str, Any]:
    """Return a run's config by full keys, without those of `FREE`; empty if it has no config.yaml.

    Raises:
        Malformed: if config.yaml holds no plain mapping.
    """
    path = run / "config.yaml"
    if not path.exists():
        return {}
    # The configs of one bridge differ only in two lines. Without these, each text is parsed once, to one object.
    return read_yaml(path, lambda text: _parsed(re.sub(r"(?m)^(data_)?seed: .*\n", "", text)))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Mapping[str, Any]:
    content = with_current_keys(mapping(text))
    leaves = (leaf for key in content for leaf in _leaves(key, content[key]))
    return MappingProxyType(
        {name: _plain(name, value) for name, value in leaves if not any(_below(name, free) for free in FREE)}
    )


def _plain(name: str, value: Any) -> Any:
    """Return a value without what differs between machines or seeds."""
    if name in WEIGHTS and isinstance(value, str):
        return value.rpartition("/")[2]  # fingerprints show whether weights in another place are the same
    if name == "bridge.init_from" and isinstance(value, str):
        return re.sub(r"\bseed=\d+", "seed=N", value)  # each seed may start from weights of its own
    return value


def _keys(pairs: Pairs) -> list[str]:
    return list(dict.fromkeys(key for _, values in pairs for key in values))


def _causes(differences: Sequence[Difference]) -> list[Difference]:
    """Leave out differences that follow from another one."""
    return [one for one in differences if not any(_follows(other.key, one.key) for other in differences)]


def _difference(key: str, pairs: Pairs, factors: Sequence[str]) -> Difference | None:
    """Return the first two runs that differ in a key, among runs at the same levels of the factors that cover it."""
    covering = [factor for factor in factors if covers(factor, key)]
    bridges_own = any(_below(key, name) for name in OF_BRIDGES)
    first: dict[tuple[str, ...], tuple[Run, Any]] = {}
    for run, value in _bearing(key, pairs):
        own = bridges_own or (key == "insert" and bool(configured(run.path).get("bridge.insert")))
        level = (run.row if own else "", *(run.levels.get(factor, "") for factor in covering))
        other, expected = first.setdefault(level, (run, value))
        if value != expected:
            return Difference(key, value, run.name, expected, other.name)
    return None


def _bearing(key: str, pairs: Pairs) -> Iterator[tuple[Run, Any]]:
    """Yield the runs that a key concerns, with its values."""
    recorded = any(_below(key, name) for name in SHARED)
    of_images, of_training = (any(_below(key, name) for name in names) for names in (OF_IMAGES, OF_TRAINING))
    for run, values in pairs:
        # A key that the version of one run did not have yet is no difference.
        if (
            (run.sees == "image" or not of_images)
            and (run.trains or not of_training)
            and (recorded or key in values)
        ):
            yield run, values.get(key)


def _summary(key: str, pairs: Pairs) -> str:
    """Return each value of a key with the runs that have it."""
    by_value: dict[str, list[str]] = {}
    for run, value in _bearing(key, pairs):
        by_value.setdefault(repr(value), []).append(run.name)
    parts = [
        f"{value} in {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for value, names in by_value.items()
    ]
    return f"{key}: {', '.join(parts)}"


def _below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _follows(choice: str, key: str) -> bool:
    """Return whether a record key follows from a config key: `FOLLOWS` names it for that key, its nearest parent there, or one below."""
    above = [cause for cause in FOLLOWS if _below(choice, cause)]
    causes = {cause for cause in FOLLOWS if _below(cause, choice)} | {max(above, key=len, default=choice)}
    return any(_below(key, one) for cause in causes for one in FOLLOWS.get(cause, ()))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield values with their full keys."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from _leaves(f"{name}.{key}", value[key])
    else:
        yield name, value
