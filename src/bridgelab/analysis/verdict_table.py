"""A study's verdict as a table of differences and in sentences."""

from collections.abc import Sequence

from bridgelab.analysis.comparison import HEADLINE, Verdict
from bridgelab.analysis.table import Cell, Grid, number
from bridgelab.analysis.verdict import ALPHA, BREAKS, CANNOT_TELL, HOLDS, LEADS, LEAST_SEEDS, Finding


def verdict_grid(verdict: Verdict) -> Grid:
    """One row a comparator, one column a kind of question: the difference in points with its 95 % interval and its outcome."""
    kinds = [*verdict.kinds, *([HEADLINE] if verdict.headline else [])]
    rows = []
    for name in verdict.comparators:
        of = {kind: verdict.cells.get((name, kind)) for kind in verdict.kinds} | {
            HEADLINE: verdict.headline.get(name)
        }
        rows.append(
            ("verdict", (Cell(f"{verdict.baseline} − {name}"), *(finding_cell(of[kind]) for kind in kinds)))
        )
    return Grid(
        f"Where {verdict.baseline} breaks, leads or holds: its accuracy less each bridge's, points, 95 % intervals",
        ("difference", *(kind.replace("_", " ") for kind in kinds)),
        tuple(rows),
    )


def finding_cell(finding: Finding | None) -> Cell:
    """A difference in points with its interval and its outcome; a dash where there is none."""
    if finding is None:
        return Cell("–")
    low, high = finding.contrast.interval()
    known = f"{number(100 * float(low), 1)} to {number(100 * float(high), 1)}, " if low == low else ""
    return Cell(_signed(finding), f"{known}{finding.outcome}")


def sentences(verdict: Verdict) -> list[str]:
    """The verdict in words, then how it was reached."""
    said = []
    for name in verdict.comparators:
        every = [verdict.cells[name, kind] for kind in verdict.kinds]
        if len({(finding.outcome, finding.why) for finding in every}) == 1 and (why := every[0].why):
            said.append(
                f"{verdict.baseline} against {name}: the data cannot tell on any kind of question; {why}."
            )
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
        said.append(f"{verdict.baseline} against {name}: {'; '.join(parts)}.")
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
        f"{100 * ALPHA:g} %). Fewer than {LEAST_SEEDS} seeds, or a curve that is not flat, cannot tell."
    )
    if not verdict.declared:
        said.append("These records declare no baseline and no δ: the ones used are this version's defaults.")
    return said


def _told(kind: str, finding: Finding) -> str:
    why = f"; {finding.why}" if finding.why else ""
    return f"{kind.replace('_', ' ')} ({_points(finding)}{why})"


def _outcome(finding: Finding) -> str:
    return f"cannot tell, {finding.why}" if finding.why else finding.outcome


def _points(finding: Finding) -> str:
    low, high = finding.contrast.interval()
    known = f", {number(100 * float(low), 1)} to {number(100 * float(high), 1)}" if low == low else ""
    return f"{_signed(finding)} points{known}"


def _signed(finding: Finding) -> str:
    text = number(100 * float(finding.contrast.value), 1)
    return text if text.startswith("−") else f"+{text}"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
