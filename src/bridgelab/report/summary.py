"""The numbers of a study, from its records: what the table prints and the figure draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bridgelab.benchmark.metrics.cider import cider_d
from bridgelab.runs.study import Missing, Run, Study
from bridgelab.statistics.convergence import Convergence, convergence_of
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.gap_closed import Ratio, gap_closed
from bridgelab.statistics.question_kinds import ordered_types, reasoning_type

ALL = "all"
CONSISTENCY = "consistency"  # the share of groups in which every answer is right
FLOPS = ("flops_bridge_forward", "flops_bridge_backward", "flops_text_forward", "flops_text_backward")
LABELS = {
    "blind": "floor: blind",
    "shuffled": "floor: shuffled",
    "majority": "floor: majority",
    "words": "ceiling: words",
    "words_patch_like": "ceiling: words, patch-like",
    "words_prompted": "ceiling: words, prompted",
}


def label(name: str) -> str:
    """A row's name as printed: a floor or a ceiling is called so."""
    bridge, *levels = name.split(", ")
    return ", ".join([LABELS.get(bridge, bridge), *levels])


@dataclass(frozen=True)
class Row:
    """One bridge, floor or ceiling, over all its seeds.

    Args:
        role: "bridge", "floor" or "ceiling".
        accuracy: by reasoning type, under `ALL` over all questions, and under `CONSISTENCY` over groups.
        gap: the gap closed, likewise; None where there is no gap to close. Empty for floors and ceilings.
        captioned: accuracy from the bridge's own caption in place of its tokens, likewise; empty where not recorded.
        captions: "cider" and "attributes", as far as recorded.
        costs: "parameters", "visual_tokens" and "flops" (an example, forward and backward, bridge and text).
        convergence: validation accuracy at each budget; None if nothing is trained.
        curves: validation accuracy, or what `Summary.curve_of` says, of each seed, (step, accuracy) pairs.
    """

    name: str
    role: str
    seeds: int = 0
    accuracy: dict[str, Estimate] = field(default_factory=dict)
    gap: dict[str, Ratio | None] = field(default_factory=dict)
    captioned: dict[str, Estimate] = field(default_factory=dict)
    captions: dict[str, Estimate] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    convergence: Convergence | None = None
    curves: tuple[np.ndarray, ...] = ()

    @property
    def label(self) -> str:
        """The name with its role, where it is not a bridge."""
        found = label(self.name)
        return f"{self.role}: {self.name}" if self.role != "bridge" and found == self.name else found

    @property
    def converged(self) -> bool:
        """Whether it is shown that more training would not matter; of what trains nothing it is known."""
        return self.convergence is None or self.convergence.is_shown


@dataclass(frozen=True)
class Summary:
    """A study in numbers: bridges in the order of the sweep, then floors and ceilings, never by result."""

    name: str
    benchmark: str
    rows: tuple[Row, ...]
    questions: dict[str, int]  # by type, those of ALL first; under CONSISTENCY the number of groups
    images: int
    ceiling: str | None  # the row that the gap closed is measured against
    missing: tuple[Missing, ...]
    remarks: tuple[str, ...]
    curve_of: str = "accuracy"  # what curves are of

    @property
    def not_converged(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.converged)

    @property
    def heading(self) -> str:
        return f"{self.name} on {self.benchmark}"


def by_role(study: Study) -> list[str]:
    """Names in the order of the sweep: bridges, then floors, then ceilings."""
    rank = {"image": 0, "nothing": 1, "words": 2}
    return sorted(study.bridges, key=lambda name: rank.get(study.of(name)[0].sees, 0))


def summarize(study: Study, *, intervals: bool = True) -> Summary:
    """Compute all rows.

    Args:
        intervals: whether with their intervals, for which captions are read too.
    """
    asked = study.questions
    chosen = _chosen(asked)
    names = list(chosen)
    sample = Sample(study.clusters[asked.index], intervals=intervals) if len(asked) else None

    def estimates(scores: np.ndarray, of: Runs) -> dict[str, Estimate]:
        assert sample is not None
        found = {name: sample.mean(scores, of, chosen[name]) for name in names if name != CONSISTENCY}
        if CONSISTENCY in chosen:
            whole = (
                pd.DataFrame(scores.T).groupby(asked["tag_group"].to_numpy()).transform("min").to_numpy().T
            )
            found[CONSISTENCY] = sample.mean(whole, of, chosen[CONSISTENCY])
        return found

    rows: list[Row] = []
    shuffled: list[dict[str, Estimate]] = []
    for bridge in study.bridges:
        runs = study.of(bridge)
        role = {"nothing": "floor", "words": "ceiling"}.get(runs[0].sees, "bridge")
        accuracy: dict[str, Estimate] = {}
        captioned: dict[str, Estimate] = {}
        if sample is not None:
            own = Runs(tuple(run.data_seed for run in runs))
            accuracy = estimates(study.scores(bridge), own)
            if role == "bridge" and study.has(bridge, "shuffled"):
                shuffled.append(estimates(study.scores(bridge, "shuffled"), own))
            if role == "bridge" and study.has(bridge, "captioned"):
                captioned = estimates(study.scores(bridge, "captioned"), own)
        rows.append(
            Row(
                bridge,
                role,
                seeds=len(runs) if runs[0].trains else 0,
                accuracy=accuracy,
                captioned=captioned,
                captions=_captions(study, runs, intervals),
                costs=_costs(runs),
                convergence=convergence_of(study, bridge),
                curves=tuple(np.array(run.record["curve"]) for run in runs if run.record.get("curve")),
            )
        )
    if shuffled:
        rows.append(Row("shuffled", "floor", accuracy={name: _average(shuffled, name) for name in names}))
    if sample is not None and "majority" in asked:
        right = (asked["majority"].astype(str) == asked["target"].astype(str)).to_numpy(np.float64)[None]
        rows.append(Row("majority", "floor", accuracy=estimates(right, Runs((0,)))))

    by_name = {row.name: row for row in rows}
    there = {run.bridge for run in study.runs}
    ceiling = next((name for name in ("words_prompted", "words") if name in there), None)
    for index, row in enumerate(rows):
        if row.role == "bridge" and row.accuracy and ceiling:
            blind, words = (study.counterpart(row.name, bridge) for bridge in ("blind", ceiling))
            if blind and words:
                rows[index] = _with_gap(row, by_name[blind].accuracy, by_name[words].accuracy, names)
    below = {
        row.name: by_name.get(study.counterpart(row.name, "blind") or "")
        for row in rows
        if row.name in study.bridges
    }
    rank = {"bridge": 0, "floor": 1, "ceiling": 2}
    rows.sort(key=lambda row: rank[row.role])  # stable: within a role the order of the sweep stands
    return Summary(
        name=study.name,
        benchmark=str(study.runs[0].record["benchmark"]),
        rows=tuple(rows),
        questions={name: int(chosen[name].sum()) for name in names},
        images=asked["image"].nunique(),
        ceiling=ceiling,
        missing=study.missing,
        remarks=(*_at_the_floor(rows, below), *_remarks(study)),
        curve_of=str(study.runs[0].record.get("curve_of", "accuracy")),
    )


def rows_of(run: Run, view: str, *, captions: bool) -> pd.DataFrame:
    """One view's rows with their text, by id; read anew each time."""
    table = run.predictions
    return (
        table[(table["view"] == view) & ((table["kind"] == "caption") == captions)]
        .set_index("id")
        .sort_index()
    )


def _types(asked: pd.DataFrame) -> np.ndarray:
    if "tag_type" not in asked:
        return np.full(len(asked), "", dtype=object)
    return np.array(["" if pd.isna(tag) else reasoning_type(tag) for tag in asked["tag_type"]], dtype=object)


def _chosen(asked: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which questions each column is over, as booleans; of a group its first stands for all."""
    types = _types(asked)
    kinds = ordered_types(types)
    chosen = {ALL: np.ones(len(asked), dtype=bool)}
    if len(kinds) > 1:  # a single type would say `ALL` a second time
        chosen |= {name: types == name for name in kinds}
    if "tag_group" in asked and asked["tag_group"].notna().all() and len(asked):
        chosen[CONSISTENCY] = ~asked["tag_group"].duplicated().to_numpy()
    return chosen


def _average(parts: list[dict[str, Estimate]], name: str) -> Estimate:
    first, *others = [part[name] * (1 / len(parts)) for part in parts]
    return sum(others, start=first)


def _with_gap(row: Row, blind: dict[str, Estimate], words: dict[str, Estimate], names: list[str]) -> Row:
    return replace(row, gap={n: gap_closed(row.accuracy[n], blind[n], words[n]) for n in names})


def _captions(study: Study, runs: Sequence[Run], intervals: bool) -> dict[str, Estimate]:
    """CIDEr-D and attributes right, with intervals where the rows give back the recorded value."""
    images = study.captions["image"]
    if not len(images):
        return {}
    sample = Sample(study.clusters[images.index], intervals=intervals)
    own = Runs(tuple(run.data_seed for run in runs))
    of_rows = {"attributes": np.stack([run.scores["image"][images.index] for run in runs])}
    if intervals:  # else what is recorded will do, and no caption need be read
        ids = study.captions["id"]
        tables = [rows_of(run, "image", captions=True).loc[ids] for run in runs]
        of_rows["cider"] = np.stack([_cider(table) for table in tables])
    found = {}
    for name, key in (("cider", "test/cider"), ("attributes", "test/caption_attributes")):
        recorded = np.array([run.record["metrics"].get(key, np.nan) for run in runs], dtype=np.float64)
        if np.isnan(recorded).any():
            continue
        # Rows keep one reference; with several the official value is the recorded one, without interval.
        given = name in of_rows and np.allclose(of_rows[name].mean(axis=1), recorded, atol=1e-4)
        found[name] = (
            sample.mean(of_rows[name], own, within_unit=name == "attributes")
            if given
            else Estimate(float(recorded.mean()), {})
        )
    return found


def _cider(table: pd.DataFrame) -> np.ndarray:
    return cider_d(table["prediction"].astype(str).tolist(), [[str(target)] for target in table["target"]])[1]


def _costs(runs: Sequence[Run]) -> dict[str, float]:
    costs = [run.record["costs"] for run in runs]
    found = {}
    for name, keys in (
        ("parameters", ("trainable_parameters",)),
        ("visual_tokens", ("visual_tokens",)),
        ("flops", FLOPS),
    ):
        if all(cost.get(key) is not None for cost in costs for key in keys):
            found[name] = float(np.mean([sum(cost[key] for key in keys) for cost in costs]))
    return found


def _at_the_floor(rows: Sequence[Row], below: Mapping[str, Row | None]) -> list[str]:
    """Bridges whose answers, over all questions, can't be told from those given without an image."""
    near = [
        row.name
        for row in rows
        if row.role == "bridge"
        and row.accuracy
        and (blind := below[row.name])
        and (row.accuracy[ALL] - blind.accuracy[ALL]).interval[0] <= 0
    ]
    if not near:
        return []
    return [
        f"Not told from the blind floor over all questions (the 95 % interval of the difference holds 0): "
        f"{', '.join(near)}. Converged there may mean that training has not begun."
    ]


def _extrapolated(first: Mapping[str, Run]) -> str:
    """Whether half of the search's steps would have chosen alike; empty where that was not looked at."""
    other, looked = [], False
    for name, run in first.items():
        tuning = run.record.get("tuning") or {}
        trials, half = (dict(tuning.get(key) or {}) for key in ("trials", "at_half"))
        if not (half and trials):
            continue
        looked = True
        if min(half, key=lambda trial: half[trial]) != min(trials, key=lambda trial: trials[trial]):
            other.append(name)
    if not looked:
        return ""
    told = f"another rate for {', '.join(other)}" if other else "the same rate for each"
    return f" Half of the search's steps would have chosen {told}: how far the choice holds for longer runs."


def _remarks(study: Study) -> list[str]:
    """What a reader must know of these runs in particular."""
    remarks = [f"Differs between the runs above, and was allowed to: {told}." for told in study.allowed]
    first = {bridge: study.of(bridge)[0] for bridge in study.bridges}
    told = {n: run.record.get("conditioning", "none") for n, run in first.items() if run.sees == "image"}
    if "question" not in told.values():
        remarks.append("No bridge is told the question: each sees the image alone.")
    elif "mismatched" not in told.values():
        remarks.append(
            "What a bridge gains that is told the question is not yet told from what it gains by the parameters that read it: "
            "the control, told another example's question (_mismatched), is not in this study."
        )
    sizes = {
        (run.record["costs"].get("visual_tokens"), run.record["costs"].get("trainable_parameters"))
        for run in first.values()
        if run.sees == "image"
    }
    if len(sizes) > 1:
        remarks.append(
            "The bridges differ in visual tokens and parameters, so a difference between them is not one of "
            "architecture alone."
        )
    single = [bridge for bridge in study.bridges if len(study.of(bridge)) == 1 and first[bridge].trains]
    if single:
        remarks.append(f"One seed only, so the interval covers images alone: {', '.join(single)}.")
    rates = {
        b: sorted({f"{run.record['lr']:g}" for run in study.of(b) if run.record.get("lr")}) for b in first
    }
    searched = next((run.record["tuned_over"] for run in study.runs if run.trains), None)
    if searched and any(rates.values()):
        found = ", ".join(f"{b} {'/'.join(rate)}" for b, rate in rates.items() if rate and first[b].trains)
        over = ", ".join(f"{rate:g}" if isinstance(rate, float) else str(rate) for rate in searched)
        remarks.append(
            f"Learning rate, searched for each over {over}, and beyond while the best was at an end: {found}.{_extrapolated(first)}"
        )
    commits = {str(run.record["git_sha"]) for run in study.runs if run.record.get("git_sha")}
    if len(commits) > 1:
        remarks.append(
            f"The records come from {len(commits)} commits: {', '.join(sorted(c[:8] for c in commits))}."
        )
    return remarks
