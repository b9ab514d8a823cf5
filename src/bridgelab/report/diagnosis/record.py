"""What a diagnosis found of one run, as a file of its own in the run's folder: `diagnosis.json`.

Each number is kept with what each image adds to it, the same images for all runs, so that numbers of several seeds can be
put together as scores are (`statistics.estimate`). Free of torch: reports and notebooks read it.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, Strict

from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.predictions import clusters
from bridgelab.runs.record_schema import Checked, Integer, Malformed, checked, read_json
from bridgelab.statistics.contrast import Contribution, pool
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.world.scene import ATTRIBUTES

FILE = "diagnosis.json"
VERSION = 2
AGAIN = "Delete it and diagnose the run again."
READ = ("occupied", *ATTRIBUTES, "place")  # what is read out of patches and tokens by a probe
ONE = Runs((0,))  # the run that is looked into


@dataclass(frozen=True)
class Map:
    """Of one question to one bridge.

    Args:
        id: of the example.
        said: the bridge's answer.
        fall: by how much that answer's log-probability falls where the window around a patch is replaced [row, column].
        attention: each patch's share of the attention to patches [row, column]; None for a bridge without.
    """

    id: str
    said: str
    fall: np.ndarray
    attention: np.ndarray | None


@dataclass(frozen=True)
class Diagnosis:
    """Of one run.

    Args:
        bridge: its name.
        seed: of its init.
        data_seed: of its order of examples.
        benchmark: whose test examples were looked at.
        made_of: what the numbers hang on: the run's config hash and how many examples were looked at.
        numbers: by name, such as `selection/visited`; `table` has them all.
        counts: how many questions, images, objects stand behind them.
        words: the nearest words with their share of all tokens.
        maps: of some questions.
        left_out: what could not be told, and why.
    """

    bridge: str
    seed: int
    data_seed: int
    benchmark: str
    made_of: dict[str, Any]
    numbers: dict[str, Estimate] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    words: tuple[tuple[str, float], ...] = ()
    maps: tuple[Map, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def sample_of(examples: Sequence[Any]) -> Sample:
    """Examples, to be drawn by the images, or groups of images, that belong together."""
    rows = {
        "image": ["|".join(map(str, one.images)) for one in examples],
        "tag_group": [one.tags.get("group") for one in examples],
    }
    return Sample(clusters(pd.DataFrame(rows)))


def numbers_of(prefix: str, found: Any) -> dict[str, Estimate]:
    """The estimates among a dataclass's fields, or of a dictionary, with a prefix."""
    values: Mapping[str, Any] = found if isinstance(found, Mapping) else vars(found)
    return {f"{prefix}/{name}": value for name, value in values.items() if isinstance(value, Estimate)}


def write_diagnosis(run: Path, found: Diagnosis) -> Path:
    """Write `diagnosis.json` into a run's folder, whole or not at all."""
    content = {
        **{name: value for name, value in vars(found).items() if name not in ("numbers", "maps")},
        "version": VERSION,
        "numbers": {name: _told(value) for name, value in found.numbers.items()},
        "maps": [
            {
                "id": one.id,
                "said": one.said,
                "fall": _rounded(one.fall),
                "attention": None if one.attention is None else _rounded(one.attention),
            }
            for one in found.maps
        ],
    }
    path = run / FILE
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _told(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval
    return {
        "value": _rounded(estimate.value),
        "interval": [_rounded(low), _rounded(high)],
        "bounds": [_rounded(bound) for bound in estimate.bounds],
        "part": _told_part(*estimate.contributions.values()) if estimate.contributions else None,
    }


def _told_part(one: Contribution) -> dict[str, Any]:
    return {
        "images": one.images.tolist(),
        "influence": _rounded(one.influence[0]),
        "number": one.num_images,
        "least": one.min_image_variance,
    }


def _rounded(values: Any) -> Any:
    """Six digits; None where a number is not finite, which JSON has no word for."""
    if isinstance(values, np.ndarray):
        return [_rounded(value) for value in values.tolist()]
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None


_Grid = Annotated[list[Annotated[list[float | None], Field(min_length=1)]], Field(min_length=1)]


class _Part(Checked):
    images: Annotated[list[Integer], Field(min_length=1)]
    influence: list[float | None]
    number: Annotated[float, Field(ge=1)]
    least: Annotated[float, Field(ge=0)]


class _Number(Checked):
    value: float | None
    bounds: Annotated[tuple[float | None, float | None], Strict(False)]
    part: _Part | None


class _Map(Checked):
    id: str
    said: str
    fall: _Grid
    attention: _Grid | None


class _Written(Checked):
    """`diagnosis.json`, with None for what is not finite."""

    version: int
    bridge: str
    seed: Integer
    data_seed: Integer
    benchmark: str
    made_of: dict[str, Any]
    numbers: dict[str, _Number]
    counts: dict[str, int]
    words: list[Annotated[tuple[str, float], Strict(False)]]
    maps: list[_Map]
    left_out: dict[str, str]


def read_diagnosis(run: Path) -> Diagnosis | None:
    """The diagnosis of a run; None where there is none.

    Raises:
        Malformed: if the file is, or of another version.
    """
    path = run / FILE
    if not path.exists():
        return None
    found = checked(path, read_json(path, AGAIN), _Written, AGAIN)
    if found.version != VERSION:
        raise Malformed(f"{path} is of version {found.version}, not {VERSION}. {AGAIN}")
    parts = [one.part for one in found.numbers.values() if one.part]
    ragged = any(
        len({len(row) for row in grid}) > 1 for one in found.maps for grid in (one.fall, one.attention or [])
    )
    if ragged or any(len(one.images) != len(one.influence) for one in parts):
        raise Malformed(f"{path} holds numbers or maps of unequal lengths. {AGAIN}")
    if any(sorted(set(one.images)) != one.images for one in parts):
        raise Malformed(f"{path} holds images that do not ascend. {AGAIN}")
    return Diagnosis(
        bridge=found.bridge,
        seed=found.seed,
        data_seed=found.data_seed,
        benchmark=found.benchmark,
        made_of=found.made_of,
        numbers={name: _estimate(one) for name, one in found.numbers.items()},
        counts=found.counts,
        words=tuple(found.words),
        maps=tuple(
            Map(one.id, one.said, _array(one.fall), None if one.attention is None else _array(one.attention))
            for one in found.maps
        ),
        left_out=found.left_out,
    )


def _estimate(told: _Number) -> Estimate:
    value, (low, high) = float(_array(told.value)), told.bounds
    bounds = (-math.inf if low is None else low, math.inf if high is None else high)
    if told.part is None:
        return Estimate(value, {}, bounds)
    images, influence = np.array(told.part.images, dtype=int), _array(told.part.influence)
    part = Contribution(
        np.array([value]), influence[None], images, told.part.number, told.part.least, ONE.data_seeds
    )
    return Estimate(value, {ONE: part}, bounds)


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes nan


def read_diagnoses(study: Path, order: Sequence[str] = ()) -> dict[str, list[Diagnosis]]:
    """All diagnoses of a study's runs, by bridge, seeds in order; empty where none was made.

    Args:
        study: its folder.
        order: of the bridges; others follow by name.
    Raises:
        ValueError: if they are of different numbers of examples. One that is malformed is told and left out.
    """
    found = []
    for run in sorted(study.iterdir()):
        try:
            if run.is_dir() and (one := read_diagnosis(run)):
                found.append(one)
        except (Malformed, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
    looked = {json.dumps(one.made_of.get("looked_at")): one for one in found}
    if len(looked) > 1:
        first, other, *_ = looked.values()
        raise ValueError(
            f"{first.bridge} was diagnosed on {first.made_of.get('looked_at')}, {other.bridge} on "
            f"{other.made_of.get('looked_at')}. Numbers beside each other are of the same examples: diagnose the whole study at once."
        )
    by_bridge: dict[str, list[Diagnosis]] = {}
    for one in sorted(found, key=lambda one: (one.data_seed, one.seed)):
        by_bridge.setdefault(one.bridge, []).append(one)
    names = [name for name in order if name in by_bridge]
    return {name: by_bridge[name] for name in [*names, *sorted(set(by_bridge) - set(names))]}


def number(runs: Sequence[Diagnosis], name: str) -> Estimate | None:
    """One number of a bridge, over its seeds; None where a run has it not."""
    found = [run.numbers[name] for run in runs if name in run.numbers]
    if len(found) < len(runs) or not found:
        return None
    if not all(one.contributions for one in found):
        return Estimate(float(np.mean([one.value for one in found])), {}, found[0].bounds)
    levels = tuple(run.data_seed for run in runs)
    together = pool([part for one in found for part in one.contributions.values()], levels)
    return Estimate(float(together.values.mean()), {Runs(levels): together}, found[0].bounds)
