"""The plan of a study: the smallest difference that it finds at other numbers of seeds and images, from the runs so far."""

from collections.abc import Mapping
from dataclasses import dataclass

from bridgelab.runs.study import Study
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.outcome import MIN_SEEDS, ORDERS, SEEDS
from bridgelab.statistics.power.smallest_difference import smallest_difference, smallest_difference_range
from bridgelab.statistics.power.variances import at_size
from bridgelab.statistics.verdict import (
    HEADLINE,
    averages_seeds_of,
    cell_contrasts,
    image_rows,
    rows_to_compare,
)

NUMBERS = (3, 5, 10)  # of seeds, beside those that the study has and twice as many
IMAGE_FACTORS = (1, 4)


@dataclass(frozen=True)
class PlannedCell:
    """The smallest difference that one cell finds with 80 % power.

    Args:
        smallest: in units of accuracy.
        low, high: the 80 % range of `smallest`, as the pilot's variances are themselves uncertain.
    """

    smallest: float
    low: float
    high: float


@dataclass(frozen=True)
class PlanRow:
    """One comparator at one size of the study.

    Args:
        comparator: the bridge that the baseline is compared with.
        seeds: of each bridge, or orders of examples.
        counted: which of the two.
        images: number of images.
        cells: by kind of question, and `HEADLINE`.
    """

    comparator: str
    seeds: int
    counted: str
    images: int
    cells: Mapping[str, PlannedCell]


@dataclass(frozen=True)
class Plan:
    """The plan of a study.

    Args:
        study: its name.
        baseline: the bridge that the others are compared with.
        delta: the least difference that matters.
        kinds: kinds of questions, and `HEADLINE`.
        rows: by comparator, then images, then seeds.
        num_cells: size of the family of cells.
        num_headlines: size of the headline's own family.
    """

    study: str
    baseline: str
    delta: float
    kinds: tuple[str, ...]
    rows: tuple[PlanRow, ...]
    num_cells: int
    num_headlines: int


def plan(study: Study) -> Plan:
    """Return the smallest differences that a study finds with 80 % power, by seeds (or orders of examples) and images.

    Estimator, assumptions and sources are those of `power.smallest_difference`.

    Args:
        study: finished in part or whole, with at least two seeds of each bridge.
    Raises:
        ValueError: if the baseline or a second bridge is missing, or a bridge has one seed.
    """
    baseline, delta, _ = declaration(study)
    _check_runs(study, baseline)
    cells, headline = cell_contrasts(study, baseline)
    pilots = cells | {(name, HEADLINE): contrast for name, contrast in headline.items()}
    kinds = tuple(dict.fromkeys(kind for _, kind in pilots))
    num_images = len(set(study.clusters[study.questions.index]))
    counted = {
        name: ORDERS if averages_seeds_of(study, (name, row)) else SEEDS
        for name, row in rows_to_compare(study, baseline).items()
    }

    def planned_cells(name: str, seeds: int, image_factor: int) -> dict[str, PlannedCell]:
        families = {kind: len(headline) if kind == HEADLINE else len(cells) for kind in kinds}
        return {
            kind: _planned_cell(pilots[name, kind], delta, family, seeds, image_factor)
            for kind, family in families.items()
        }

    rows = tuple(
        PlanRow(name, seeds, counted[name], num_images * factor, planned_cells(name, seeds, factor))
        for name in dict.fromkeys(name for name, _ in pilots)
        for factor in IMAGE_FACTORS
        for seeds in _numbers(pilots, name)
    )
    return Plan(study.name, baseline, delta, kinds, rows, len(cells), len(headline))


def _numbers(pilots: Mapping[tuple[str, str], Contrast], name: str) -> list[int]:
    """Return the numbers of seeds, or orders of examples, that a comparator's rows are for, ascending. Of fewer nothing can be told."""
    now = min(min(pilot.num_runs) for (comparator, _), pilot in pilots.items() if comparator == name)
    return sorted(number for number in {*NUMBERS, now, 2 * now} if number >= MIN_SEEDS)


def _planned_cell(pilot: Contrast, delta: float, family: int, seeds: int, image_factor: int) -> PlannedCell:
    # More images never find less. Satterthwaite's approximation can say otherwise: once seeds dominate the variance, degrees of freedom
    # fall faster than it. So the best number of images up to this one counts.
    smallest, factor = min(
        (float(smallest_difference(at_size(pilot, seeds, factor), delta, family)), factor)
        for factor in IMAGE_FACTORS
        if factor <= image_factor
    )
    low, high = smallest_difference_range(pilot, delta, family, seeds=seeds, image_factor=factor)
    return PlannedCell(smallest, low, high)


def _check_runs(study: Study, baseline: str) -> None:
    """Check that two bridges can be compared, and that each has at least two seeds."""
    num_runs = {name: len(study.of(name)) for name in image_rows(study)}
    if not rows_to_compare(study, baseline):
        raise ValueError(
            f"{study.name} has runs of {', '.join(num_runs) or 'no bridge'}: a plan needs {baseline} and another bridge. Run both."
        )
    if single := [name for name, number in num_runs.items() if number < 2]:
        raise ValueError(
            f"{', '.join(single)} in {study.name} has 1 seed, which says nothing of the spread over seeds. Run at least 2."
        )
