"""Read a study's records, print its table, and save the table, the picture and a page that holds both."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure
from rich.console import Console

from bridgelab.console import get_console
from bridgelab.report.controls import controls
from bridgelab.report.diagnosis.figure import draw_diagnosis
from bridgelab.report.diagnosis.record import read_diagnoses
from bridgelab.report.diagnosis.section import rests
from bridgelab.report.diagnosis.table import Diagnoses, diagnosis_notes, diagnosis_tables
from bridgelab.report.examples import chosen_examples
from bridgelab.report.formats.latex import to_csv, to_latex
from bridgelab.report.figures.break_map import draw_map
from bridgelab.report.figures.difficulty import draw_difficulty
from bridgelab.report.figures.pareto import draw_pareto
from bridgelab.report.figures.study import draw
from bridgelab.report.figures.style import save
from bridgelab.report.page import page
from bridgelab.report.provenance import provenance, reproduction
from bridgelab.report.summary import Summary, summarize
from bridgelab.report.table import (
    StudyTable,
    Table,
    budget_table,
    curve_table,
    study_table,
    to_markdown,
    to_rich,
)
from bridgelab.report.tables.break_map import map_tables
from bridgelab.report.tables.breakpoint import breakpoint_sentences, breakpoint_table
from bridgelab.report.tables.difficulty import Difficulty, by_difficulty, difficulty_table
from bridgelab.report.tables.families import family_table
from bridgelab.report.tables.lr_search import lr_search_table
from bridgelab.report.tables.shift import shift_of, shift_sentences, shift_table
from bridgelab.report.tables.verdict import seeds_apart, sentences, verdict_table
from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.break_map import BreakMap, break_map, study_break_map
from bridgelab.statistics.breakpoint import breakpoints
from bridgelab.statistics.comparison import verdict

FORMATS = MappingProxyType({"md": to_markdown, "csv": to_csv, "latex": to_latex})


def report(
    study_dir: str | Path, *, allow: Sequence[str] = (), console: Console | None = None
) -> dict[str, Path]:
    """Print the study's table and write `figure.png`, `table.md` and `index.html` into its folder.

    The files hold accuracy by question family and the trials of the search too, which are too long to print.

    Args:
        study_dir: `runs/<study>`.
        allow: keys in which its runs may differ, as `read_study` takes them.
        console: where to print; the terminal if not given.
    Returns:
        The paths written, by name: "figure", "table", "page".
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if its records are malformed or cannot be compared.
    """
    study_dir = Path(study_dir)
    study = read_study(study_dir, allow=allow)
    summary = summarize(study)
    hard = by_difficulty(study)
    found = read_diagnoses(study.path, study.bridges)
    mapped = study_break_map(study)
    table, longer = tables(study, summary, hard, found, mapped)
    bridges = ", ".join(row.name for row in summary.rows if row.role == "bridge")
    pictures = [
        (
            f"Accuracy by reasoning type for {bridges}, with 95 % intervals, floors and ceilings; beside it the learning "
            "curves. All numbers of the left panel are in the tables.",
            _png(draw(summary)),
        )
    ]
    if hard:
        tags = ", ".join(one.tag.replace("_", " ") for one in hard)
        pictures.append(
            (f"Accuracy against {tags}; all numbers are in the tables.", _png(draw_difficulty(hard, summary)))
        )
    if costs := draw_pareto(summary):
        pictures.append(
            (
                "Accuracy against what a bridge costs. Filled: not told to be worse than one that costs no more, at 5 % over all "
                "pairs of a panel. All numbers are in the tables.",
                _png(costs),
            )
        )
    if mapped:
        pictures.append(
            (
                "Break map: levels of what the study varies, by kind of question; a dashed edge is an outcome at this budget. All numbers "
                "are in the tables.",
                _png(draw_map(mapped)),
            )
        )
    if inside := draw_diagnosis(found):
        pictures.append(
            (
                "Inside the bridges: what answers rest on, what clutter costs, what probes read; all numbers are in the tables.",
                _png(inside),
            )
        )
    shown = chosen_examples(study)
    paths = {
        "figure": study_dir / "figure.png",
        "table": study_dir / "table.md",
        "page": study_dir / "index.html",
    }
    _write(paths["figure"], pictures[0][1])
    _write(paths["table"], to_markdown(longer).encode())
    made = page(
        longer,
        pictures,
        shown,
        provenance(study),
        reproduction(study),
        asked(study),
        rests(study, shown, found),
    )
    _write(paths["page"], made.encode())
    console = console or get_console()
    console.print(to_rich(table))
    for path in paths.values():
        console.print(str(path), style="dim", markup=False, highlight=False, soft_wrap=True)
    return paths


def tables(
    study: Study,
    summary: Summary,
    hard: Sequence[Difficulty],
    inside: Diagnoses,
    mapped: BreakMap | None = None,
) -> tuple[StudyTable, StudyTable]:
    """What is printed of a study, its verdict first among what follows its accuracies; and the same with the longer tables.

    Args:
        inside: what `bridgelab diagnose` found, by bridge; empty where it was not run.
        mapped: the study's break map, if it makes one.
    """
    table = study_table(summary)
    harder: list[Table] = []
    if found := verdict(study):
        changing = breakpoints(study)
        harder = [breakpoint_table(changing, found.baseline)] if changing else []
        table = replace(
            table,
            grids=(table.grids[0], verdict_table(found), *table.grids[1:]),
            said=(
                *sentences(found),
                *seeds_apart(study),
                *breakpoint_sentences(changing, found.baseline, found.delta),
                *controls(study, found.baseline),
            ),
        )
    if shift := shift_of(study):
        table = replace(
            table,
            grids=(*table.grids[:2], shift_table(shift), *table.grids[2:]),
            said=(*table.said, *shift_sentences(shift)),
        )
    longer = [
        *(map_tables(mapped) if mapped else ()),
        *harder,
        *map(difficulty_table, hard),
        family_table(study),
        budget_table(summary),
        curve_table(summary),
        lr_search_table(study),
        *diagnosis_tables(inside),
    ]
    return table, replace(
        table,
        grids=(*table.grids, *(grid for grid in longer if grid)),
        notes=(*table.notes, *diagnosis_notes(inside)),
    )


def report_map(study_dirs: Sequence[Path], out: Path, *, console: Console | None = None) -> None:
    """Print the break map of some studies, and write its picture.

    Args:
        study_dirs: `runs/<study>` of each; the first holds the centre.
        out: the picture's path.
        console: where to print; the terminal if not given.
    Raises:
        FileNotFoundError, ValueError: as `report`, and as `break_map`.
    """
    found = break_map([read_study(Path(study_dir)) for study_dir in study_dirs])
    _write(out, _png(draw_map(found)))
    console = console or get_console()
    table = StudyTable(f"Where {found.baseline} breaks", tuple(map_tables(found)), ())
    console.print(to_rich(table))
    console.print(str(out), style="dim", markup=False, highlight=False, soft_wrap=True)


def print_as(study_dir: Path, form: str, *, allow: Sequence[str] = ()) -> None:
    """Print a study's tables as text for elsewhere, and write nothing.

    Args:
        study_dir: `runs/<study>`.
        form: of `FORMATS`.
        allow: as `report`.
    Raises:
        FileNotFoundError, ValueError: as `report`.
    """
    study = read_study(study_dir, allow=allow)
    inside = read_diagnoses(study.path, study.bridges)
    longer = tables(study, summarize(study), by_difficulty(study), inside, study_break_map(study))[1]
    print(FORMATS[form](longer), end="")


def asked(study: Study) -> list[tuple[str, str]]:
    """The study's question and hypothesis, as its yaml states them."""
    record = study.runs[0].record
    return [(name, str(record[name])) for name in ("question", "hypothesis") if record.get(name)]


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    save(figure, out)
    return out.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a page that is being read is never torn."""
    with atomic_path(path) as aside:
        aside.write_bytes(content)
