"""A study's verdict as a table of differences and in sentences."""

import math

import numpy as np

from bridgelab.report.table import NONE, Cell, Quantity, Table, enumerated, format_number, format_signed
from bridgelab.runs.study import Study
from bridgelab.statistics.outcome import (
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
from bridgelab.statistics.power.smallest_difference import POWER
from bridgelab.statistics.verdict import HEADLINE, Verdict, image_rows


def verdict_table(verdict: Verdict) -> Table:
    """Return one row per comparator and one column per kind of question: the difference in points, its intervals, its outcome."""
    kinds = [*verdict.kinds, *([HEADLINE] if verdict.headline else [])]
    rows = []
    for name in verdict.comparators:
        findings = {kind: verdict.cells.get((name, kind)) for kind in verdict.kinds}
        findings[HEADLINE] = verdict.headline.get(name)
        cells = (finding_cell(findings[kind]) for kind in kinds)
        rows.append(("verdict", (Cell(f"{verdict.baseline} − {name}"), *cells)))
    return Table(
        f"Where {verdict.baseline} breaks, leads or holds: its accuracy less each bridge's, points; intervals adjusted as the tests are "
        "(Holm), and at 90 %",
        ("difference", *(kind.replace("_", " ") for kind in kinds)),
        tuple(rows),
    )


def finding_cell(finding: Finding | None) -> Cell:
    """Return a difference in points with both intervals that decide and its outcome; a dash for None."""
    if finding is None:
        return Cell(NONE)
    known = not math.isnan(finding.equivalence_interval[0])
    intervals = (
        f"{_points(finding.holm_interval)}; 90 %: {_points(finding.equivalence_interval)}; " if known else ""
    )
    value = 100 * float(finding.contrast.value)
    low, high = (100 * end for end in finding.decisive_interval)
    level = finding.decisive_level if known else math.nan
    return Cell(
        format_signed(value, 1),
        f"{intervals}{finding.description}",
        Quantity(value, low, high, level, "points", finding.description),
    )


def verdict_sentences(verdict: Verdict) -> list[str]:
    """Return the verdict in sentences, then how it was reached."""
    findings = (*verdict.cells.values(), *verdict.headline.values())
    sentences = [_against(verdict, name) for name in verdict.comparators]
    if verdict.headline:
        sentences.append(_headline(verdict))
    sentences.append(_rule(verdict))
    if any("would settle it" in finding.reason for finding in findings):
        sentences.append(
            f"The seeds and images that would settle a cell do so in {100 * POWER:g} % of studies, if its difference and spread are as "
            "estimated here; both estimates are uncertain (bridgelab calibrate says in how many simulated studies it did)."
        )
    if any(finding.at_budget for finding in findings):
        sentences.append(
            f"{AT_BUDGET.capitalize()}: one of the two is not shown to have converged (the column 'last doubling'), so more training may "
            "change the outcome."
        )
    if not verdict.declared:
        sentences.append(
            "These records declare no baseline and no δ: the ones used are this version's defaults."
        )
    return sentences


def _against(verdict: Verdict, name: str) -> str:
    """Return the outcomes against one comparator, kinds of question with the same outcome together."""
    findings = {kind: verdict.cells[name, kind] for kind in verdict.kinds}
    first = next(iter(findings.values()))
    against = f"{verdict.baseline} against {name}" + (f", {AT_BUDGET}" if first.at_budget else "")
    if first.reason and len({(finding.outcome, finding.reason) for finding in findings.values()}) == 1:
        return f"{against}: the data cannot tell on any kind of question; {first.reason}."
    by_outcome: dict[str, list[str]] = {}
    for kind, finding in findings.items():
        by_outcome.setdefault(finding.outcome, []).append(_kind(kind, finding))
    verbs = {BREAKS: "breaks", LEADS: "leads", HOLDS: "holds", CANNOT_TELL: "the data cannot tell"}
    parts = [
        f"{verb} on {enumerated(by_outcome[outcome])}"
        for outcome, verb in verbs.items()
        if outcome in by_outcome
    ]
    return f"{against}: {'; '.join(parts)}."


def _kind(kind: str, finding: Finding) -> str:
    why = f"; {finding.reason}" if finding.reason else ""
    return f"{kind.replace('_', ' ')} ({_difference(finding)}{why})"


def _headline(verdict: Verdict) -> str:
    outcomes = "; ".join(
        f"against {name} {f'cannot tell, {finding.reason}' if finding.reason else finding.description} ({_difference(finding)})"
        for name, finding in verdict.headline.items()
    )
    subtracted = " and, if asked, on ".join(verdict.controls)
    return f"Beyond seeing (the difference on questions that take reasoning minus that on {subtracted}), {verdict.baseline}: {outcomes}."


def _rule(verdict: Verdict) -> str:
    points, percent = f"{100 * verdict.delta:g}", f"{100 * ALPHA:g} %"
    return (
        f"Breaks: below −{points} points; leads: above +{points}; both are tested at {percent}, corrected over all "
        f"{len(verdict.cells)} cells (Holm), or over the comparators for 'beyond seeing'. Holds: within ±{points} (two one-sided tests, "
        f"{percent}). With fewer than {MIN_SEEDS} seeds the data cannot tell; such cells still count in the correction. "
        f"Intervals show the outcome: the adjusted one lies beyond ±{points} points where a cell breaks or leads, the 90 % one within "
        "where it holds."
    )


def outlier_seeds(study: Study) -> list[str]:
    """Return a warning that names the seeds whose accuracy is far from the median of their bridge's; empty without any."""
    outliers = []
    for name in image_rows(study) if len(study.questions) else ():
        accuracy = study.scores(name).mean(axis=1)
        median = float(np.median(accuracy))
        for index in np.flatnonzero(outlying_runs(accuracy, len(study.questions))):
            run = study.of(name)[index]
            seed = f"seed {run.seed}" + (f" of data seed {run.data_seed}" if run.data_seed else "")
            percent, other = format_number(100 * accuracy[index], 1), format_number(100 * median, 1)
            outliers.append(f"{name}, {seed} ({percent} % beside {other})")
    if not outliers:
        return []
    return [
        f"A seed stands apart, over {100 * MIN_OUTLIER_DISTANCE:g} points from the median of its bridge's: {'; '.join(outliers)}. "
        "A few seeds cannot show how often this happens to a bridge. If it happens to one bridge alone, the verdict is wrong more often "
        f"than {100 * ALPHA:g} % (bridgelab calibrate says how often): run more seeds, and look at that run."
    ]


def _difference(finding: Finding) -> str:
    known = not math.isnan(finding.decisive_interval[0])
    interval = f", {_points(finding.decisive_interval)}" if known else ""
    return f"{format_signed(100 * float(finding.contrast.value), 1)} points{interval}"


def _points(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{format_number(100 * low, 1)} to {format_number(100 * high, 1)}"
