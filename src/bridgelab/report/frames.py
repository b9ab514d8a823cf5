"""The numbers of a study as a tidy pandas frame, for a user's own plots and tables."""

from pathlib import Path
from typing import Any

import pandas as pd

from bridgelab.atomic import atomic_path, write_text
from bridgelab.report.row import Row
from bridgelab.report.summary import Summary, summarize
from bridgelab.runs.csv_frame import csv_frame
from bridgelab.runs.study import Study
from bridgelab.statistics.estimate import LEVEL, Estimate
from bridgelab.statistics.verdict import HEADLINE, Verdict, verdict

COLUMNS = (
    "measure", "bridge", "baseline", "role", "kind", "questions", "value", "low", "high", "level", "outcome", "at_budget",
    "p", "seeds",
)  # fmt: skip


def cells(study: Study) -> pd.DataFrame:
    """Return accuracies, the verdict's differences, scores of captions and accuracies through words, one row for each number.

    Accuracies, their differences and the ends of intervals are shares in [0, 1], where the report prints percent and points.

    Columns: `measure` (`accuracy`, `difference` for baseline − bridge, or of captions `cider` for CIDEr-D in [0, 10] and `attributes`
    for the share of right ones; `accuracy_through_words` if a bridge's own caption takes the place of its tokens), `bridge` with the
    levels of what else is varied, `baseline` (of a difference), `role` (bridge, floor, ceiling), `kind` of question (`all` for all;
    `caption`), the number of `questions` or captions, `value`, `low`, `high` and `level` of its interval, and for a difference
    `outcome`, `at_budget`, and `p` after Holm's correction. The interval of a difference is the one that decides its outcome. `seeds`
    counts the trained runs.

    Args:
        study: as `read_study` returns it.
    """
    return cell_frame(summarize(study), verdict(study))


def cell_frame(summary: Summary, judged: Verdict | None) -> pd.DataFrame:
    """Return `cells` of a summary and a verdict that are computed already."""
    rows = [
        *_accuracies(summary),
        *(_differences(judged, summary) if judged else []),
        *_captions(summary),
        *_through_words(summary),
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    # Types are set, since a column may be empty.
    return frame.astype({"questions": "Int64", "seeds": "Int64", "at_budget": "boolean"})


def _accuracies(summary: Summary) -> list[dict[str, Any]]:
    return [
        _of_row(row, "accuracy", kind, summary.questions.get(kind), estimate)
        for row in summary.rows
        for kind, estimate in row.accuracy.items()
    ]


def _captions(summary: Summary) -> list[dict[str, Any]]:
    return [
        _of_row(row, measure, "caption", summary.captions, estimate)
        for row in summary.rows
        for measure, estimate in row.captions.items()
    ]


def _through_words(summary: Summary) -> list[dict[str, Any]]:
    return [
        _of_row(row, "accuracy_through_words", kind, summary.questions.get(kind), estimate)
        for row in summary.rows
        for kind, estimate in row.captioned.items()
    ]


def _of_row(row: Row, measure: str, kind: str, questions: int | None, estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval
    return (
        {"measure": measure, "bridge": row.name, "role": row.role, "kind": kind, "seeds": row.seeds}
        | {"questions": questions, "value": float(estimate.value)}
        | {"low": low, "high": high, "level": LEVEL}
    )


def _differences(judged: Verdict, summary: Summary) -> list[dict[str, Any]]:
    seeds = {row.name: row.seeds for row in summary.rows}
    headline = {(name, HEADLINE): finding for name, finding in judged.headline.items()}
    rows = []
    for (name, kind), finding in {**judged.cells, **headline}.items():
        low, high = finding.decisive_interval
        rows.append(
            {
                "measure": "difference",
                "bridge": name,
                "baseline": judged.baseline,
                "role": "bridge",
                "kind": kind,
            }
            | {
                "questions": judged.questions.get(kind),
                "value": float(finding.contrast.value),
                "seeds": seeds.get(name),
            }
            | {"low": low, "high": high, "level": finding.decisive_level, "outcome": finding.outcome}
            | {"at_budget": finding.at_budget, "p": finding.p}
        )
    return rows


def write_frames(study: Study, frame: pd.DataFrame) -> list[Path]:
    """Write a study's cells and answers into its folder, each as CSV and as Parquet, and return the paths.

    Only Parquet has each text as it is: in CSV, a formula of a spreadsheet begins with an apostrophe.

    Args:
        study: the study.
        frame: its cells.
    """
    paths = []
    for name, content in (("cells", frame), ("answers", study.answers)):
        table, exact = (study.path / f"{name}{suffix}" for suffix in (".csv", ".parquet"))
        write_text(table, csv_frame(content))
        with atomic_path(exact) as temporary:
            content.to_parquet(temporary, index=False)
        paths += [table, exact]
    return paths
