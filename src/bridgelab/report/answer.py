"""The answer of a study in plain sentences: where the baseline breaks, what came out elsewhere, and what was compared."""

from collections.abc import Sequence

from bridgelab.report.matrix import BUDGET_MARK, Matrix, MatrixCell
from bridgelab.report.provenance import evaluation_of, is_evaluation
from bridgelab.report.row import ALL, Row
from bridgelab.report.summary import Summary
from bridgelab.report.table import enumerated, format_number, format_si
from bridgelab.runs.repeat_command import added_rows, command
from bridgelab.runs.study import Study
from bridgelab.runs.sweep import swept
from bridgelab.runs.warm_start_files import WARM
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS
from bridgelab.statistics.verdict import image_rows

MOST_NAMED = 4  # rows of the study that one sentence names


def answer(verdict: Matrix) -> tuple[str, ...]:
    """Return where the baseline breaks and how many cells have each outcome, in a sentence each; the first alone if all cells are open."""
    if _all_open(verdict):
        return (_where_it_breaks(verdict),)
    return _where_it_breaks(verdict), _outcomes(verdict)


def without_baseline(study: Study) -> tuple[str, ...]:
    """Return why bridges that could be compared have no verdict, in a sentence, if the declared baseline has no finished run; else none."""
    baseline = declaration(study).baseline
    if (
        study.questions.empty
        or len(image_rows(study)) < 2
        or any(run.bridge == baseline for run in study.runs)
    ):
        return ()
    if is_evaluation(study.runs[0]):
        again = evaluation_of(study, baseline)
    elif baseline not in swept(study.path).get("bridge", ()) or not (again := command(study.path, [])):
        again = added_rows(study.path, [f"bridge={baseline}"])
    return (f"No verdict: the baseline {baseline} has no finished run. Add it: {again}",)


def compared(summary: Summary) -> str:
    """Return one sentence on what was compared: each bridge's tokens, parameters and convergence, the seeds, the questions or captions."""
    bridges = summary.bridges
    named = [f"{row.label} ({sizes})" if (sizes := _sizes(row)) else row.label for row in bridges]
    parts = [
        _named(named),
        _seeds(bridges),
        _convergence([row for row in bridges if row.convergence]),
        _examples(summary),
    ]
    return f"{'Evaluated' if len(bridges) == 1 else 'Compared'}: {'; '.join(part for part in parts if part)}."


def _examples(summary: Summary) -> str:
    if not summary.images:
        return ""
    questions = summary.questions[ALL]
    number = f"{questions:,} questions" if questions else f"{summary.captions:,} captions"
    return f"{number} on {summary.images:,} images"


def missing_runs(summary: Summary) -> str:
    """Return how many runs are missing, in one sentence; empty if none is."""
    number = len(summary.missing)
    if not number:
        return ""
    return f"{number} runs are missing." if number > 1 else "1 run is missing."


def gain_over_start(summary: Summary) -> str:
    """Return what training added to the weights that rows start from, in one sentence; empty if all were trained from scratch."""
    started = [(row, values) for row in summary.rows if row.started_from and (values := row.start_and_end)]
    if not started:
        return ""
    gains = [
        f"{row.label} {format_number(100 * first, 1)} → {format_number(100 * last, 1)} %"
        for row, (first, last) in started
    ]
    warm = all(row.started_from.startswith(f"{WARM}:") for row, _ in started)
    source = "warm starts" if warm else "trained weights"
    return f"Started from {source}; validation {summary.curve_of} before the first step and at the end: {', '.join(gains)}."


def _where_it_breaks(verdict: Matrix) -> str:
    name, breaks = verdict.baseline, verdict.of(BREAKS)
    if _all_open(verdict):
        reasons = {cell.reason for cell in verdict.cells.values()}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        return f"The data cannot tell whether {name} breaks on any kind of question{why}."
    if not breaks:
        return f"{name} is not shown to break against any bridge on any kind of question."
    by_row = {row: [cell for cell in breaks if cell.comparator == row] for row in verdict.comparators}
    rows = [
        f"against {row} on {_kinds(cells, verdict)} (by {_points(cells)})"
        for row, cells in by_row.items()
        if cells
    ]
    if len(rows) <= MOST_NAMED:
        return f"{name} breaks {enumerated(rows)}."
    by_kind = {kind: sum(cell.kind == kind for cell in breaks) for kind in verdict.kinds}
    kinds = [f"on {_words(kind)} against {number}" for kind, number in by_kind.items() if number]
    of_all = f"{len(rows)} of {len(verdict.comparators)} rows"
    return f"{name} breaks against {of_all} (by {_points(breaks)}): {enumerated(kinds)}."


def _all_open(verdict: Matrix) -> bool:
    return len(verdict.of(CANNOT_TELL)) == len(verdict.cells)


def _outcomes(verdict: Matrix) -> str:
    verbs = {
        BREAKS: "breaks",
        LEADS: "leads",
        HOLDS: f"holds within ±{verdict.delta:g} points",
    }
    counts = {verb: len(verdict.of(outcome)) for outcome, verb in verbs.items()}
    told = [f"{verb} in {number}" for verb, number in counts.items() if number]
    untold = len(verdict.of(CANNOT_TELL))
    parts = [
        *([f"{verdict.baseline} {enumerated(told)}"] if told else []),
        *([f"the data cannot tell in {untold}"] if untold else []),
    ]
    sentence = f"Of {len(verdict.cells)} comparisons (bridge × kind of question), {', and '.join(parts)}"
    limited = sum(cell.limited for cell in verdict.cells.values())
    if not limited:
        return f"{sentence}."
    marked = "the outcome" if limited == 1 else f"the {limited} outcomes"
    return f"{sentence}; more training may still change {marked} with a {BUDGET_MARK}."


def _sizes(row: Row) -> str:
    tokens, parameters = row.costs.get("visual_tokens"), row.costs.get("parameters")
    parts = [
        f"{tokens:.0f} tokens" if tokens else "",
        f"{format_si(parameters)} parameters" if parameters else "",
    ]
    return ", ".join(part for part in parts if part)


def _seeds(rows: Sequence[Row]) -> str:
    """Return how many seeds the rows have; if runs are averaged over seeds, how many runs in how many orders of examples."""
    seeds, orders = [row.seeds for row in rows if row.seeds], [row.orders for row in rows if row.orders]
    if not seeds:
        return ""
    each = " each" * (len(rows) > 1)
    if orders:
        return (
            f"{_range(seeds, '')} runs{each}, averaged to {_range(orders, '')} orders of examples (data_seed)"
        )
    return f"{_range(seeds, '')} seed{'s' * (max(seeds) > 1)}{each}"


def _convergence(rows: Sequence[Row]) -> str:
    lacking = [row.label for row in rows if not row.converged]
    if not rows or len(lacking) == len(rows):
        return f"{'none is' if len(rows) > 1 else 'not'} shown to have converged" if rows else ""
    if len(lacking) > len(rows) / 2:
        return f"only {_named([row.label for row in rows if row.converged])} converged"
    return f"all but {_named(lacking)} converged" if lacking else "all converged"


def _named(rows: Sequence[str]) -> str:
    """Name the first rows and count the others; return an empty string for no row."""
    if not rows:
        return ""
    others = len(rows) - MOST_NAMED
    return enumerated([*rows[:MOST_NAMED], f"{others} more"] if others > 1 else rows)


def _kinds(cells: Sequence[MatrixCell], verdict: Matrix) -> str:
    every = len(cells) == len(verdict.kinds) > 1
    return "every kind of question" if every else enumerated([_words(cell.kind) for cell in cells])


def _words(kind: str) -> str:
    return "all questions" if kind == ALL else kind.replace("_", " ")


def _points(cells: Sequence[MatrixCell]) -> str:
    return _range([float(format_number(abs(cell.difference), 1)) for cell in cells], " points")


def _range(values: Sequence[float], unit: str) -> str:
    low, high = min(values), max(values)
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
