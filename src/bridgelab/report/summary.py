"""The numbers of a study, from its records: what tables print and figures draw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bridgelab.report.caption_scores import caption_scores
from bridgelab.report.caveats import at_the_floor, caveats
from bridgelab.report.majority_floor import guesses_right, recorded_majority
from bridgelab.report.row import ALL, CONSISTENCY, ROLES, Row
from bridgelab.runs.run import averages_seeds
from bridgelab.runs.study import Missing, Run, Study
from bridgelab.statistics.convergence import convergence_of
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.gap_closed import gap_closed
from bridgelab.statistics.question_kinds import kind_masks

FLOPS = ("flops_bridge_forward", "flops_bridge_backward", "flops_text_forward", "flops_text_backward")
COSTS = {"parameters": ("trainable_parameters",), "visual_tokens": ("visual_tokens",), "flops": FLOPS}


@dataclass(frozen=True)
class Summary:
    """A study in numbers.

    Args:
        name: of the study.
        benchmark: its name.
        rows: bridges in the order of the sweep, then floors and ceilings; never sorted by result.
        questions: number of questions by reasoning type, `ALL` first, which is 0 with captions alone; under `CONSISTENCY` the number of
            groups.
        images: number of their images; of the captions' if there are no questions.
        captions: number of captions.
        ceiling: name of the row that the gap closed is measured against; None without such a row.
        missing: cells of the sweep without a finished run.
        caveats: what to know about these runs in particular, as sentences.
        curve_of: the metric of the learning curves.
    """

    name: str
    benchmark: str
    rows: tuple[Row, ...]
    questions: dict[str, int]
    images: int
    ceiling: str | None
    missing: tuple[Missing, ...]
    caveats: tuple[str, ...]
    curve_of: str = "accuracy"
    captions: int = 0

    @property
    def bridges(self) -> tuple[Row, ...]:
        """The rows that are neither floors nor ceilings."""
        return tuple(row for row in self.rows if row.role == "bridge")

    @property
    def not_converged(self) -> tuple[Row, ...]:
        """The rows that are not shown to have converged."""
        return tuple(row for row in self.rows if not row.converged)

    @property
    def heading(self) -> str:
        """The study and its benchmark."""
        return f"{self.name} on {self.benchmark}"


def summarize(study: Study, *, intervals: bool = True) -> Summary:
    """Compute all rows of a study's tables.

    Args:
        study: the study.
        intervals: whether to compute intervals, for which captions are read from disk too.
    """
    questions = study.questions
    columns = _columns(questions)
    scorer = (
        _Scorer(questions, columns, Sample(study.clusters[questions.index], intervals=intervals))
        if len(questions)
        else None
    )
    rows = [_row(study, bridge, scorer, intervals=intervals) for bridge in study.bridges]
    if scorer:
        rows += _computed_floors(study, rows, scorer)
    by_name = {row.name: row for row in rows}
    bridges_run = {run.bridge for run in study.runs}
    ceiling = next((name for name in ("words_prompted", "words") if name in bridges_run), None)
    rows = [_with_gap(study, row, by_name, ceiling) for row in rows]
    blind = {name: by_name.get(study.counterpart(name, "blind") or "") for name in study.bridges}
    roles = list(ROLES.values())
    rows.sort(key=lambda row: roles.index(row.role))  # stable: the order of the sweep stands within a role
    record, shown = study.runs[0].record, (study.captions if questions.empty else questions)["image"]
    return Summary(
        name=study.name,
        benchmark=str(record["benchmark"]),
        rows=tuple(rows),
        questions={name: int(mask.sum()) for name, mask in columns.items()},
        images=len({picture for images in shown.unique() for picture in images.split("|")}),
        ceiling=ceiling,
        missing=study.missing,
        caveats=(*at_the_floor(rows, blind), *caveats(study)),
        curve_of=study.runs[0].curve_of,
        captions=len(study.captions),
    )


def _columns(questions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return which questions each column of the table is over [question]; of a group, the first question stands for all."""
    columns = {ALL: np.ones(len(questions), dtype=bool)}
    if ALL not in (kinds := kind_masks(questions)):  # the column of a single type would repeat that of `ALL`
        columns |= kinds
    if "tag_group" in questions and questions["tag_group"].notna().all() and len(questions):
        columns[CONSISTENCY] = ~questions["tag_group"].duplicated().to_numpy()
    return columns


@dataclass(frozen=True)
class _Scorer:
    """Mean scores over the questions of each column, with intervals from one sample of images."""

    questions: pd.DataFrame
    columns: dict[str, np.ndarray]
    sample: Sample

    def __call__(self, scores: np.ndarray, runs: Runs) -> dict[str, Estimate]:
        """Return the estimate of each column from scores [run, question]."""
        estimates = {}
        for name, mask in self.columns.items():
            values = self._lowest_of_group(scores) if name == CONSISTENCY else scores
            estimates[name] = self.sample.mean(values, runs, mask)
        return estimates

    def _lowest_of_group(self, scores: np.ndarray) -> np.ndarray:
        groups = self.questions["tag_group"].to_numpy()
        return pd.DataFrame(scores.T).groupby(groups).transform("min").to_numpy().T


def _row(study: Study, bridge: str, scorer: _Scorer | None, *, intervals: bool) -> Row:
    runs = study.of(bridge)
    row = Row(
        bridge,
        ROLES[runs[0].sees],
        seeds=len(runs) if runs[0].trains else 0,
        orders=len({run.data_seed for run in runs}) if averages_seeds(runs) else 0,
        captions=caption_scores(study, runs, intervals=intervals),
        costs=_costs(runs),
        convergence=convergence_of(study, bridge),
        started_from=str(runs[0].record.get("init_from") or ""),
        curves=tuple(np.array(run.record["curve"]) for run in runs if run.record.get("curve")),
    )
    if scorer is None:
        return row
    seeds = _seeds(runs)
    row = replace(row, accuracy=scorer(study.scores(bridge), seeds))
    if row.role == "bridge" and study.has(bridge, "captioned"):
        row = replace(row, captioned=scorer(study.scores(bridge, "captioned"), seeds))
    return row


def _computed_floors(study: Study, rows: Sequence[Row], scorer: _Scorer) -> Iterator[Row]:
    """Yield the floors that no run trains: "shuffled", over all bridges, and "majority"."""
    shuffled = [
        scorer(study.scores(row.name, "shuffled"), _seeds(study.of(row.name)))
        for row in rows
        if row.role == "bridge" and study.has(row.name, "shuffled")
    ]
    if shuffled:
        yield Row(
            "shuffled",
            "floor",
            accuracy={name: _mean([one[name] for one in shuffled]) for name in scorer.columns},
        )
    if (right := guesses_right(study)) is not None:
        yield Row("majority", "floor", accuracy=scorer(right[None], Runs((0,))))
    elif (recorded := recorded_majority(study)) is not None:
        yield Row("majority", "floor", accuracy={ALL: Estimate(recorded, {})})


def _seeds(runs: Sequence[Run]) -> Runs:
    return Runs(tuple(run.data_seed for run in runs))


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    first, *others = [estimate * (1 / len(estimates)) for estimate in estimates]
    return sum(others, start=first)


def _with_gap(study: Study, row: Row, rows: dict[str, Row], ceiling: str | None) -> Row:
    """Add the gap closed to a bridge that has a blind floor and a ceiling at its levels."""
    if row.role != "bridge" or not row.accuracy or ceiling is None:
        return row
    blind, words = study.counterpart(row.name, "blind"), study.counterpart(row.name, ceiling)
    if not (blind and words):
        return row
    floor, top = rows[blind].accuracy, rows[words].accuracy
    return replace(
        row, gap={name: gap_closed(value, floor[name], top[name]) for name, value in row.accuracy.items()}
    )


def _costs(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean costs that all runs have recorded."""
    records = [run.record["costs"] for run in runs]
    return {
        name: float(np.mean([sum(record[key] for key in keys) for record in records]))
        for name, keys in COSTS.items()
        if all(record.get(key) is not None for record in records for key in keys)
    }
