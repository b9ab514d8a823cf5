"""Read a study's records, print its tables, and write its figure, its tables and its page."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from bridgelab.atomic import write_bytes, write_text
from bridgelab.console import get_console
from bridgelab.report.answer import answer, compared, gain_over_start, missing_runs, without_baseline
from bridgelab.report.caveats import allowed_differences
from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.render import to_pdf, to_png, to_svg
from bridgelab.report.charts.study import break_map_figure
from bridgelab.report.contents import Analysis, analyze, long_tables, short_tables
from bridgelab.report.formats.csv import to_csv
from bridgelab.report.formats.latex import to_latex
from bridgelab.report.formats.markdown import to_markdown
from bridgelab.report.formats.terminal import print_answer, print_commands, print_paths, to_rich
from bridgelab.report.frames import cell_frame, write_frames
from bridgelab.report.matrix import map_matrix, matrix
from bridgelab.report.next_steps import next_steps
from bridgelab.report.page import render_page, study_page
from bridgelab.report.provenance import purpose
from bridgelab.report.table import StudyTables
from bridgelab.report.tables.break_map import break_map_tables
from bridgelab.report.tables.verdict import outlier_seeds
from bridgelab.runs.study import read_study
from bridgelab.statistics.break_map import break_map

IMAGES = MappingProxyType({"svg": lambda figure: to_svg(figure).encode(), "pdf": to_pdf, "png": to_png})
FORMATS = MappingProxyType({"csv": to_csv, "latex": to_latex})


def report(
    study_dir: str | Path,
    *,
    allow: Sequence[str] = (),
    data: bool = False,
    figures: str | None = None,
    everything: bool = False,
    console: Console | None = None,
) -> dict[str, Path]:
    """Print a study's answer and write `figure.png`, `table.md` and `index.html` into its folder.

    The files also hold the tables that are too long to print, such as accuracy by question family.

    Args:
        study_dir: `runs/<study>`.
        allow: keys in which its runs may differ, as `read_study` takes them.
        data: also write the cells and all answers as CSV and Parquet, see `report.frames`.
        figures: a key of `IMAGES`: also write every figure of the page in this format.
        everything: print the tables and the notes too.
        console: where to print; the terminal by default.
    Returns:
        The paths written, by name: "figure", "table", "page", and with `data` or `figures` the names of their files.
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if its records are malformed or cannot be compared.
    """
    study_dir = Path(study_dir)
    study = read_study(study_dir, allow=allow)
    analysis = analyze(study)
    short = short_tables(analysis)
    long = long_tables(analysis, short)
    page = study_page(analysis)
    paths = {"table": study_dir / "table.md", "page": study_dir / "index.html"}
    if page.figure:
        paths = {"figure": study_dir / "figure.png", **paths}
        write_bytes(paths["figure"], to_png(page.figure))
    write_text(paths["table"], to_markdown(long))
    write_text(paths["page"], render_page(page))
    if data:
        frame = cell_frame(analysis.summary, analysis.verdict)
        paths |= {path.name: path for path in write_frames(study, frame)}
    if figures:
        drawn = [section.figure for section in page.sections if section.figure]
        paths |= {path.name: path for path in _write_figures(drawn, study_dir / "figures", figures)}
    console = console or get_console()
    judged = matrix(analysis.verdict) if analysis.verdict else None
    print_answer(console, analysis.summary.heading, first_sentences(analysis), judged)
    if everything:
        console.print(to_rich(short))
    elif not judged:  # nothing to compare: what the bridge answers is the news
        console.print(to_rich(StudyTables("", short.tables[:1], ())))
    print_paths(console, *paths.values())
    print_commands(console, next_steps(study, analysis.summary, everything=everything))
    return paths


def first_sentences(analysis: Analysis) -> list[str]:
    """Return the answer in sentences, then what stands against trusting it."""
    study, judged = analysis.study, analysis.verdict
    sentences = [
        *(value for name, value in purpose(study) if name == "question"),
        *(answer(matrix(judged)) if judged else without_baseline(study)),
        compared(analysis.summary),
        gain_over_start(analysis.summary),
        *allowed_differences(study),
        *outlier_seeds(study),
        missing_runs(analysis.summary),
    ]
    return [*filter(None, sentences)]


def report_map(
    study_dirs: Sequence[Path],
    out: Path,
    *,
    everything: bool = False,
    allow: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print the break map of several studies, and write its picture.

    Args:
        study_dirs: `runs/<study>` of each; the first one holds the centre of the map.
        out: path of the picture.
        everything: whether to print the intervals too.
        allow: keys in which the runs of each may differ, as `read_study` takes them.
        console: where to print; the terminal by default.
    Raises:
        FileNotFoundError: if a folder is missing or holds no finished run.
        ValueError: if records are malformed, or the studies cannot be put on one map.
    """
    studies = [read_study(Path(study_dir), allow=allow) for study_dir in study_dirs]
    cells = break_map(studies)
    write_bytes(out, to_png(break_map_figure(cells)))
    console = console or get_console()
    notes = [f"{study.name}: {one}" for study in studies for one in allowed_differences(study)]
    empty = [f"{comparator}, {level} is empty: {why}." for (comparator, level), why in cells.empty.items()]
    corrected = f"The tests over all {cells.family} cells are corrected together (Holm)."
    print_answer(console, f"Where {cells.baseline} breaks", [corrected, *empty, *notes], map_matrix(cells))
    if everything:
        console.print(to_rich(StudyTables("", tuple(break_map_tables(cells)), ())))
    print_paths(console, out)


def print_as(study_dir: Path, form: str, *, allow: Sequence[str] = ()) -> None:
    """Print all of a study's tables in a format for other programs, and write no file.

    Args:
        study_dir: `runs/<study>`.
        form: a key of `FORMATS`.
        allow: keys in which its runs may differ, as `read_study` takes them.
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if its records are malformed or cannot be compared.
    """
    analysis = analyze(read_study(study_dir, allow=allow))
    print(FORMATS[form](long_tables(analysis, short_tables(analysis))), end="")


def numbers(study_dir: Path, *, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Return a study's answer, its cells, its verdict in sentences and its notes, for `bridgelab report --json`.

    Args:
        study_dir: `runs/<study>`.
        allow: keys in which its runs may differ, as `read_study` takes them.
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if its records are malformed or cannot be compared.
    """
    analysis = analyze(read_study(study_dir, allow=allow))
    printed, judged = short_tables(analysis), analysis.verdict
    cells = cell_frame(analysis.summary, judged).astype(object)
    return {
        "study": analysis.study.name,
        "benchmark": analysis.summary.benchmark,
        "baseline": judged.baseline if judged else None,
        "delta": judged.delta if judged else None,
        "answer": first_sentences(analysis),
        "cells": cells.where(cells.notna(), None).to_dict("records"),
        "verdict": list(printed.verdict),
        "notes": list(printed.notes),
        "missing": [{"run": one.name, "reason": one.reason} for one in analysis.study.missing],
    }


def _write_figures(figures: Sequence[Figure], folder: Path, form: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{figure.name}.{form}" for figure in figures]
    for figure, path in zip(figures, paths, strict=True):
        write_bytes(path, IMAGES[form](figure))
    return paths
