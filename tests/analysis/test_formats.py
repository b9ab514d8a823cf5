"""CSV read back by the csv module; LaTeX by its own rules, and by a compiler where there is one."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from bridgelab import cli
from bridgelab.analysis.difficulty import by_difficulty
from bridgelab.analysis.formats import to_csv, to_latex
from bridgelab.analysis.records import read_study
from bridgelab.analysis.report import tables
from bridgelab.analysis.summary import summarise
from bridgelab.analysis.table import Cell, Grid, StudyTable

ODD = StudyTable(
    "heading",
    (
        Grid(
            "A & B, %",
            ("bridge", "all"),
            (("bridge", (Cell("x_1", ""), Cell("−4.0", "−5.0 to −3.0, breaks"))),),
        ),
    ),
    ("a note",),
)


@pytest.fixture
def whole(simulated):
    study = read_study(simulated.write(images=6))
    return tables(study, summarise(study), by_difficulty(study), {})[1]


def test_csv_has_a_line_a_number(whole):
    rows = list(csv.DictReader(io.StringIO(to_csv(whole))))
    notes = [row["value"] for row in rows if row["table"] == "notes"]
    assert notes == [*whole.said, *whole.notes]
    assert len(rows) - len(notes) == sum((len(grid.heads) - 1) * len(grid.rows) for grid in whole.grids)
    for row, column, low, high in (
        (r["row"], r["column"], *r["interval"].split(" to "))
        for r in rows
        if r["table"] == "Accuracy, %" and " to " in r["interval"]
    ):
        assert float(low) <= float(high), (row, column)


def test_csv_numbers_have_a_plain_minus():
    row, note = csv.DictReader(io.StringIO(to_csv(ODD)))
    assert note["value"] == "a note"
    assert row == {
        "table": "A & B, %",
        "row": "x_1",
        "column": "all",
        "value": "-4.0",
        "interval": "-5.0 to -3.0, breaks",
    }


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


@pytest.mark.parametrize(("form", "start"), [("md", "### "), ("csv", "table,row"), ("latex", "% needs")])
def test_a_format_is_printed_and_no_file_written(simulated, capsys, form, start):
    path = simulated.write(images=6)
    before = sorted(path.iterdir())
    assert cli.main(["report", str(path), "--format", form]) == 0
    assert capsys.readouterr().out.startswith(start)
    assert sorted(path.iterdir()) == before
