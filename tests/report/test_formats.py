"""CSV read back by the csv module; LaTeX by its own rules, and by a compiler where there is one."""

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest
from rich.console import Console

from bridgelab.cli import main as cli
from bridgelab.report.contents import analyze, long_tables, short_tables
from bridgelab.report.formats.csv import to_csv
from bridgelab.report.formats.html import table_to_html
from bridgelab.report.formats.latex import to_latex
from bridgelab.report.formats.markdown import to_markdown
from bridgelab.report.formats.terminal import to_rich
from bridgelab.report.table import Cell, Quantity, StudyTables, Table, format_si
from bridgelab.runs.study import read_study

ODD = StudyTables(
    "heading",
    (
        Table(
            "A & B, %",
            ("bridge", "all"),
            (
                (
                    "bridge",
                    (
                        Cell("x_1", ""),
                        Cell("−4.0", "−5.0 to −3.0, breaks", Quantity(-4, -5, -3, 0.9, "points", "breaks")),
                    ),
                ),
            ),
        ),
    ),
    ("a note",),
)


@pytest.fixture
def whole(simulated):
    analysis = analyze(read_study(simulated.write(images=6)))
    return long_tables(analysis, short_tables(analysis))


def test_csv_has_a_line_a_number_and_numbers_as_numbers(whole):
    frame = pd.read_csv(io.StringIO(to_csv(whole)), keep_default_na=False)
    notes = frame[frame["table"] == "notes"]
    assert list(notes["text"]) == [*whole.verdict, *whole.notes]
    cells = [
        (grid.title, cells[0].text, head, cell)
        for grid in whole.tables for _, cells in grid.rows for head, cell in zip(grid.columns[1:], cells[1:], strict=True)
    ]  # fmt: skip
    rows = frame.iloc[: -len(notes)].to_dict("records")
    assert len(rows) == len(cells)
    judged = 0
    for row, (title, name, head, cell) in zip(rows, cells, strict=True):
        assert [row[key].removeprefix("'") for key in ("table", "row", "column")] == [title, name, head]
        assert (row["value"] == "") == (cell.number is None)
        if cell.number and row["low"]:
            assert float(row["low"]) <= float(row["high"])
        if title == "Accuracy, %" and cell.number and head != "last doubling":
            assert (
                f"{float(row['value']):.1f} {float(row['low']):.1f}–{float(row['high']):.1f}" == row["text"]
            )
            assert (row["unit"], float(row["level"])) == ("%", 0.95)
        judged += bool(row["outcome"])
    assert judged == sum(bool(cell.number and cell.number.outcome) for *_, cell in cells) > 0


def test_csv_numbers_have_a_plain_minus():
    row, note = csv.DictReader(io.StringIO(to_csv(ODD)))
    assert note["text"] == "a note"
    assert row == {
        "table": "A & B, %", "row": "x_1", "column": "all", "value": "-4", "low": "-5", "high": "-3", "level": "0.9", "unit": "points",
        "outcome": "breaks", "text": "−4.0 −5.0 to −3.0, breaks",
    }  # fmt: skip


def _html(study):
    return "".join(map(table_to_html, study.tables))


@pytest.mark.parametrize(
    ("value", "text"), [(999.4, "999"), (16_512, "16.5 k"), (999_700, "1 M"), (3e12, "3 T")]
)
def test_three_digits_stand_before_a_prefix(value, text):
    assert format_si(value) == text


ACTING = "x\n\\input{/etc/passwd}\x1b]0;t\x07\u202e"


@pytest.mark.parametrize(
    "form", [to_csv, to_latex, to_markdown, _html, lambda table: _terminal(to_rich(table))]
)
def test_a_name_is_text_alone_in_every_form(form):
    """Not a line's end, behind which LaTeX would read on; not an escape that a terminal obeys."""
    table = StudyTables(ACTING, (Table(ACTING, ("bridge", ACTING), (("bridge", (Cell(ACTING), Cell(ACTING, ACTING))),)),), (ACTING,), (ACTING,))  # fmt: skip
    plain = StudyTables(
        "x", (Table("x", ("bridge", "x"), (("bridge", (Cell("x"), Cell("x", "x"))),)),), ("x",), ("x",)
    )
    text = form(table)
    assert not set("\x1b\x07\u202e") & set(text)
    if form in (to_csv, to_latex, to_markdown, _html):
        assert len(text.splitlines()) == len(form(plain).splitlines())


def _terminal(made):
    out = io.StringIO()
    Console(file=out, width=300, force_terminal=True, color_system=None).print(made)
    return out.getvalue()


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)"])
def test_csv_holds_no_formulas(text):
    table = StudyTables(
        "x", (Table(text, ("bridge", text), (("bridge", (Cell(text), Cell(text))),)),), (text,)
    )
    cells = [cell for row in csv.reader(io.StringIO(to_csv(table))) for cell in row]
    assert f"'{text}" in cells
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]


def test_latex_escapes_what_it_would_read_as_a_command():
    text = to_latex(ODD)
    assert r"\caption{A \& B, \%}" in text
    assert r"x\_1 & $-$4.0 \\" in text
    assert r" & {\scriptsize $-$5.0 to $-$3.0, breaks} \\" in text


def test_every_line_of_a_latex_table_has_as_many_columns_as_its_head(whole):
    for body in re.findall(r"\\begin{tabular}.*?\\end{tabular}", to_latex(whole), flags=re.DOTALL):
        columns = body.split("{l")[1].split("}")[0].count("r") + 1
        lines = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(lines) > 1
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}


def test_latex_compiles(whole, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    page = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        + to_latex(whole)
        + "\\end{document}"
    )
    (tmp_path / "page.tex").write_text(page)
    subprocess.run(["pdflatex", "-halt-on-error", "page.tex"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(("form", "start"), [("csv", "table,row"), ("latex", "% needs")])
def test_a_format_is_printed_and_no_file_written(simulated, capsys, form, start):
    path = simulated.write(images=6)
    before = sorted(path.iterdir())
    assert cli.main(["report", str(path), "--format", form]) == 0
    assert capsys.readouterr().out.startswith(start)
    assert sorted(path.iterdir()) == before
