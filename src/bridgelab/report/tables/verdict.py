"""A study's verdict as a table of differences and in sentences."""

import math
from collections.abc import Sequence

import numpy as np

from bridgelab.report.table import Cell, Measured, Table, number, signed
from bridgelab.runs.study import Study
from bridgelab.statistics.comparison import HEADLINE, Verdict, image_rows
from bridgelab.statistics.power.smallest_difference import POWER
from bridgelab.statistics.verdict import (
    ALPHA,
    AT_BUDGET,
    BREAKS,
    CANNOT_TELL,
    HOLDS,
    LEADS,
    MIN_OUTLIER_DISTANCE,
    MIN_SEEDS,
    Finding,
    outlying_runs,
)


def verdict_table(verdict: Verdict) -> Table:
    """One row a comparator, one column a kind of question: the difference in points with its intervals and its outcome."""
    kinds = [*verdict.kinds, *([HEADLINE] if verdict.headline else [])]
    rows = []
    for name in verdict.comparators:
        of = {kind: verdict.cells.get((name, kind)) for kind in verdict.kinds} | {
            HEADLINE: verdict.headline.get(name)
        }
        rows.append(
            ("verdict", (Cell(f"{verdict.baseline} − {name}"), *(finding_cell(of[kind]) for kind in kinds)))
        )
    return Table(
        f"Where {verdict.baseline} breaks, leads or holds: its accuracy less each bridge's, points; intervals adjusted as the tests are "
        "(Holm), and at 90 %",
        ("difference", *(kind.replace("_", " ") for kind in kinds)),
        tuple(rows),
    )


def finding_cell(finding: Finding | None) -> Cell:
    """A difference in points with both intervals that decide, and its outcome; a dash where there is none."""
    if finding is None:
        return Cell("–")
    known = finding.equivalence_interval[0] == finding.equivalence_interval[0]
    intervals = (
        f"{_ends(finding.holm_interval)}; 90 %: {_ends(finding.equivalence_interval)}; " if known else ""
    )
    low, high = (100 * end for end in finding.decisive_interval)
    level = finding.decisive_level if known else math.nan
    value = 100 * float(finding.contrast.value)
    return Cell(
        signed(100 * float(finding.contrast.value), 1),
        f"{intervals}{finding.description}",
        Measured(value, low, high, level, "points", finding.description),
    )


def sentences(verdict: Verdict) -> list[str]:
    """The verdict in words, then how it was reached."""
    said = []
    for name in verdict.comparators:
        every = [verdict.cells[name, kind] for kind in verdict.kinds]
        against = f"{verdict.baseline} against {name}" + (f", {AT_BUDGET}" if every[0].at_budget else "")
        if len({(finding.outcome, finding.reason) for finding in every}) == 1 and (why := every[0].reason):
            said.append(f"{against}: the data cannot tell on any kind of question; {why}.")
            continue
        by: dict[str, list[str]] = {}
        for kind in verdict.kinds:
            finding = verdict.cells[name, kind]
            by.setdefault(finding.outcome, []).append(_told(kind, finding))
        parts = [
            f"{verb} on {_listed(by[outcome])}"
            for outcome, verb in ((BREAKS, "breaks"), (LEADS, "leads"), (HOLDS, "holds"))
            if outcome in by
        ]
        if CANNOT_TELL in by:
            parts.append(f"the data cannot tell on {_listed(by[CANNOT_TELL])}")
        said.append(f"{against}: {'; '.join(parts)}.")
    if verdict.headline:
        told = "; ".join(
            f"against {name} {_outcome(finding)} ({_points(finding)})"
            for name, finding in verdict.headline.items()
        )
        said.append(
            f"Beyond seeing (the difference over questions that take reasoning less that over captions and, where there are any, "
            f"attributes asked for without a hop), {verdict.baseline}: {told}."
        )
    said.append(
        f"Breaks: below −{100 * verdict.delta:g} points; leads: above +{100 * verdict.delta:g}; both at {100 * ALPHA:g} % over all "
        f"{len(verdict.cells)} cells (Holm), the headline's by themselves. Holds: within ±{100 * verdict.delta:g} (two one-sided tests, "
        f"{100 * ALPHA:g} %). Fewer than {MIN_SEEDS} seeds cannot tell, and count among the cells all the same. "
        "Intervals show the outcome: the adjusted one lies beyond ±δ where a cell breaks or leads, the one of 90 %, given for what "
        "holds, within."
    )
    if any(
        "would settle it" in finding.reason
        for finding in (*verdict.cells.values(), *verdict.headline.values())
    ):
        said.append(
            f"What would settle a cell would in {100 * POWER:g} % of studies, were its difference and its spread as found here; these are "
            "themselves uncertain (`bridgelab calibrate` says in how many simulated studies it did)."
        )
    if any(one.at_budget for one in (*verdict.cells.values(), *verdict.headline.values())):
        said.append(
            f"{AT_BUDGET.capitalize()}: one of the two is not shown to have converged (the column 'last doubling'), so more training may "
            "change the outcome."
        )
    if not verdict.declared:
        said.append("These records declare no baseline and no δ: the ones used are this version's defaults.")
    return said


def seeds_apart(study: Study) -> list[str]:
    """A warning where a seed of a bridge stands apart; empty elsewhere."""
    found = []
    for name in image_rows(study) if len(study.questions) else ():
        values = study.scores(name).mean(axis=1)
        for place in np.flatnonzero(outlying_runs(values, len(study.questions))):
            run, middle = study.of(name)[place], float(np.median(values))
            which = f"seed {run.seed}" + (f" of data seed {run.data_seed}" if run.data_seed else "")
            found.append(
                f"{name}, {which} ({number(100 * values[place], 1)} % beside {number(100 * middle, 1)})"
            )
    if not found:
        return []
    return [
        f"A seed stands apart, over {100 * MIN_OUTLIER_DISTANCE:g} points from the median of its bridge's: {'; '.join(found)}. "
        "How often a bridge "
        f"meets such a fate a few seeds can't show, and where it is one bridge's alone the verdict errs more often than {100 * ALPHA:g} % "
        "(`bridgelab calibrate` says how often): run more seeds, and look at that run."
    ]


def _told(kind: str, finding: Finding) -> str:
    why = f"; {finding.reason}" if finding.reason else ""
    return f"{kind.replace('_', ' ')} ({_points(finding)}{why})"


def _outcome(finding: Finding) -> str:
    return f"cannot tell, {finding.reason}" if finding.reason else finding.description


def _points(finding: Finding) -> str:
    known = (
        f", {_ends(finding.decisive_interval)}"
        if finding.decisive_interval[0] == finding.decisive_interval[0]
        else ""
    )
    return f"{signed(100 * float(finding.contrast.value), 1)} points{known}"


def _ends(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{number(100 * low, 1)} to {number(100 * high, 1)}"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
