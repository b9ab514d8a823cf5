"""The diagnosis of one run, as a file in its folder: `diagnosis.json`.

Each number is stored with its influence function over images, which are the same for all runs, so that numbers of several seeds can
be pooled as scores are (`statistics.estimate`). Free of torch: reports and notebooks read it.
"""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, Strict

from bridgelab.printable import printable
from bridgelab.runs.finished import is_finished
from bridgelab.runs.predictions import clusters
from bridgelab.runs.record import write_json
from bridgelab.runs.record_schema import Checked, Integer, Malformed, checked, read_json, read_record
from bridgelab.runs.run import Run
from bridgelab.statistics.contrast import Contribution, pool
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.world.scene import ATTRIBUTES

FILE = "diagnosis.json"
VERSION = 2
FIX = "Delete it and diagnose the run again."
PROBE_TARGETS = ("occupied", *ATTRIBUTES, "place")  # what probes read from patches and tokens
SINGLE_RUN = Runs((0,))  # the run that is diagnosed


@dataclass(frozen=True)
class Map:
    """What one answer of a bridge depends on.

    Args:
        id: the example's name among those of all kinds (`report.view.example_name`).
        said: the bridge's answer.
        fall: drop of the answer's log-probability when the window around a patch is replaced [row, column].
        attention: each patch's share of the attention to patches [row, column]; None for a bridge without attention.
    """

    id: str
    said: str
    fall: np.ndarray
    attention: np.ndarray | None


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of one run.

    Args:
        bridge: its name.
        seed: of its init.
        data_seed: of its order of examples.
        benchmark: whose test examples were used.
        made_of: what the numbers depend on: the run's config hash and the number of examples.
        numbers: by name, such as `selection/visited`; `diagnosis.table` lists them.
        counts: number of questions, images and objects behind them; `first_questions` is that of the images whose tokens were looked at
            under a question of their own, as there are no captions.
        words: the nearest words, with their share of all tokens.
        maps: of some questions.
        left_out: measurements that were not possible, with the reasons.
        encoder: name of the ViT among those of its study; the study says it, and not the file.
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
    encoder: str = ""


def sample_of(examples: Sequence[Any]) -> Sample:
    """Return a sample of examples whose clusters are images, or the groups of images that belong together."""
    rows = {
        "id": [example.id for example in examples],
        "image": ["|".join(map(str, example.images)) for example in examples],
        "tag_group": [example.tags.get("group") for example in examples],
        "tag_picture": [example.tags.get("picture") for example in examples],
    }
    return Sample(clusters(pd.DataFrame(rows)))


def numbers_of(prefix: str, results: Any) -> dict[str, Estimate]:
    """Return the estimates among a dataclass's fields or a dictionary's values, with names that start with `prefix`."""
    values: Mapping[str, Any] = results if isinstance(results, Mapping) else vars(results)
    return {f"{prefix}/{name}": value for name, value in values.items() if isinstance(value, Estimate)}


def write_diagnosis(run: Path, diagnosis: Diagnosis) -> Path:
    """Write `diagnosis.json` into a run's folder, atomically, and return its path."""
    content = {
        **{
            name: value
            for name, value in vars(diagnosis).items()
            if name not in ("numbers", "maps", "encoder")
        },
        "version": VERSION,
        "numbers": {name: _encode(estimate) for name, estimate in diagnosis.numbers.items()},
        "maps": [
            {
                "id": one.id,
                "said": one.said,
                "fall": _rounded(one.fall),
                "attention": None if one.attention is None else _rounded(one.attention),
            }
            for one in diagnosis.maps
        ],
    }
    path = run / FILE
    write_json(path, content)
    return path


def _encode(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval
    return {
        "value": _rounded(estimate.value),
        "interval": [_rounded(low), _rounded(high)],
        "bounds": [_rounded(bound) for bound in estimate.bounds],
        "part": _encode_part(*estimate.contributions.values()) if estimate.contributions else None,
    }


def _encode_part(part: Contribution) -> dict[str, Any]:
    return {
        "images": part.images.tolist(),
        "influence": _rounded(part.influence[0]),
        "number": part.num_images,
        "least": part.min_image_variance,
    }


def _rounded(values: Any) -> Any:
    """Round to six digits; numbers that are not finite become None, since JSON cannot express them."""
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


class _File(Checked):
    """The content of `diagnosis.json`; None stands for a number that is not finite."""

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
    """Read the diagnosis of a run. Return None if it has none.

    Raises:
        Malformed: if the file is malformed or of another version.
    """
    path = run / FILE
    if not path.exists():
        return None
    file = checked(path, read_json(path, FIX), _File, FIX)
    if file.version != VERSION:
        raise Malformed(f"{path} is of version {file.version}, not {VERSION}. {FIX}")
    _check_lengths(path, file)
    return Diagnosis(
        bridge=file.bridge,
        seed=file.seed,
        data_seed=file.data_seed,
        benchmark=file.benchmark,
        made_of=file.made_of,
        numbers={name: _decode(number) for name, number in file.numbers.items()},
        counts=file.counts,
        words=tuple(file.words),
        maps=tuple(
            Map(one.id, one.said, _array(one.fall), None if one.attention is None else _array(one.attention))
            for one in file.maps
        ),
        left_out=file.left_out,
    )


def _check_lengths(path: Path, file: _File) -> None:
    parts = [number.part for number in file.numbers.values() if number.part]
    grids = [grid for one in file.maps for grid in (one.fall, one.attention or [])]
    ragged = any(len({len(row) for row in grid}) > 1 for grid in grids)
    if ragged or any(len(part.images) != len(part.influence) for part in parts):
        raise Malformed(f"{path} holds numbers or maps of unequal lengths. {FIX}")
    if any(sorted(set(part.images)) != part.images for part in parts):
        raise Malformed(f"{path} holds images that do not ascend. {FIX}")


def _decode(number: _Number) -> Estimate:
    value, (low, high) = float(_array(number.value)), number.bounds
    bounds = (-math.inf if low is None else low, math.inf if high is None else high)
    if number.part is None:
        return Estimate(value, {}, bounds)
    part = Contribution(
        np.array([value]),
        _array(number.part.influence)[None],
        np.array(number.part.images, dtype=int),
        number.part.number,
        number.part.least,
    )
    return Estimate(value, {SINGLE_RUN: part}, bounds)


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes nan


def read_diagnoses(study: Path, runs: Sequence[Run]) -> dict[str, list[Diagnosis]]:
    """Read the diagnoses of a study's runs, by row, sorted by seed.

    A malformed one is reported on stderr and left out, and so is one of other numbers of examples than most have.

    Args:
        study: the study's folder.
        runs: of its tables, in their order; those of another row, or of a learning rate that was not chosen, are no further seeds of a
            bridge. Empty if the runs cannot be compared: each is a row of its own then.
    """
    row_of = {run.path.name: run.row for run in runs}
    encoder_of = {run.path.name: _encoder(run.record, run.levels) for run in runs}
    by_row: dict[str, list[Diagnosis]] = {row: [] for row in row_of.values()}
    for folder in sorted(study.iterdir()):
        row = row_of.get(folder.name) if runs else printable(folder.name)
        try:
            if row and folder.is_dir() and (diagnosis := read_diagnosis(folder)):
                encoder = encoder_of[folder.name] if runs else _encoder(_record(folder), {})
                by_row.setdefault(row, []).append(replace(diagnosis, encoder=encoder))
        except (Malformed, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
    by_row = _on_equal_examples(by_row)
    return {row: sorted(own, key=lambda one: (one.data_seed, one.seed)) for row, own in by_row.items() if own}


def _on_equal_examples(by_row: Mapping[str, list[Diagnosis]]) -> dict[str, list[Diagnosis]]:
    """Keep the diagnoses of the numbers of examples that most have, the larger ones in a tie; report the others on stderr."""
    runs_by_amount = Counter(_looked_at(one) for own in by_row.values() for one in own)
    if len(runs_by_amount) < 2:
        return dict(by_row)
    kept = max(runs_by_amount, key=lambda amount: (runs_by_amount[amount], sum(value for _, value in amount)))
    for row, own in by_row.items():
        for one in own:
            if _looked_at(one) != kept:
                print(
                    f"left out: the diagnosis of {printable(row)}, seed {one.seed}, was of {dict(_looked_at(one))}, that of most runs of "
                    f"{dict(kept)}. Numbers are compared on the same examples only: diagnose all runs with the same options.",
                    file=sys.stderr,
                )
    return {row: [one for one in own if _looked_at(one) == kept] for row, own in by_row.items()}


def _looked_at(diagnosis: Diagnosis) -> tuple[tuple[str, int], ...]:
    """Return how many examples of each kind a diagnosis is of."""
    looked_at = diagnosis.made_of.get("looked_at")
    numbers = looked_at.items() if isinstance(looked_at, Mapping) else ()
    return tuple((name, number) for name, number in numbers if isinstance(number, int))


def _record(folder: Path) -> Mapping[str, Any]:
    return read_record(folder) if is_finished(folder) else {}


def _encoder(record: Mapping[str, Any], levels: Mapping[str, str]) -> str:
    """Return a run's levels that choose the ViT, or else the start of the ViT's fingerprint."""
    chosen = [
        f"{name}={level}" for name, level in levels.items() if level and name.partition(".")[0] == "vision"
    ]
    return ", ".join(chosen) or str(record.get("fingerprints", {}).get("vision", ""))[:8]


def pooled_number(runs: Sequence[Diagnosis], name: str) -> Estimate | None:
    """Return one number of a bridge, pooled over its runs; None if a run lacks it."""
    estimates = [run.numbers[name] for run in runs if name in run.numbers]
    if len(estimates) < len(runs) or not estimates:
        return None
    bounds = estimates[0].bounds
    if not all(estimate.contributions for estimate in estimates):
        return Estimate(float(np.mean([estimate.value for estimate in estimates])), {}, bounds)
    data_seeds = tuple(run.data_seed for run in runs)
    part = pool([part for estimate in estimates for part in estimate.contributions.values()], data_seeds)
    return Estimate(float(part.values.mean()), {Runs(data_seeds): part}, bounds)
