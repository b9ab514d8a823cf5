"""The answer in sentences and the verdict matrix, of studies whose truth is planted, and as printed."""

import re
from io import StringIO

import pytest
from rich.console import Console

from bridgelab.report.answer import answer, compared
from bridgelab.report.evidence import _finding
from bridgelab.report.formats.terminal import print_answer
from bridgelab.report.matrix import Matrix, MatrixCell, matrix
from bridgelab.report.summary import summarize
from bridgelab.report.write import report
from bridgelab.runs.study import read_study
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS
from bridgelab.statistics.verdict import verdict

PLAIN = {"exist": 0.7, "count": 0.3, "query_color": 0.9}
BRIDGES = {
    "linear": PLAIN,
    "mlp": PLAIN,
    "qformer": PLAIN | {"count": 0.6},
    "perceiver": PLAIN | {"count": 0.5, "exist": 0.95, "query_color": 0.5},
}


def judged(path):
    return matrix(verdict(read_study(path)))


def test_the_matrix_holds_the_planted_differences(simulated):
    found = judged(simulated.write(bridges=BRIDGES, images=400))
    assert found.comparators == ("mlp", "perceiver", "qformer")
    assert found.kinds == ("exist", "count", "query")
    assert found.cells["qformer", "count"].outcome == BREAKS
    assert found.cells["qformer", "count"].difference == pytest.approx(-30, abs=4)
    assert found.cells["perceiver", "query"].outcome == LEADS
    assert found.cells["perceiver", "query"].text.startswith("▲ +")
    assert found.cells["mlp", "exist"].outcome in (HOLDS, CANNOT_TELL)
    for cell in found.cells.values():
        assert cell.low < cell.difference < cell.high
        beyond = cell.high < -found.delta if cell.outcome == BREAKS else cell.low > found.delta
        assert beyond is (cell.outcome in (BREAKS, LEADS))
    assert [cell.kind for cell in found.of(BREAKS)] == ["exist", "count", "count"]


def test_the_answer_names_where_it_breaks(simulated):
    found = judged(simulated.write(bridges=BRIDGES, images=400))
    breaks, outcomes = answer(found)
    q, p = (abs(found.cells[name, "count"].difference) for name in ("qformer", "perceiver"))
    exist = abs(found.cells["perceiver", "exist"].difference)
    low, high = sorted((p, exist))
    assert breaks == (
        f"linear breaks against perceiver on exist and count (by {low:.1f} to {high:.1f} points) and against qformer on count (by "
        f"{q:.1f} points)."
    )
    assert outcomes.startswith("Of 9 comparisons (bridge × kind of question), linear breaks in 3")
    assert "more training" not in outcomes


def test_with_many_rows_the_answer_counts_them(simulated):
    better = {name: PLAIN | {"count": 0.9} for name in ("mlp", "qformer", "perceiver", "avgpool", "honeybee")}
    breaks, _ = answer(judged(simulated.write(bridges={"linear": PLAIN} | better, images=200)))
    assert breaks.startswith("linear breaks against 5 of 5 rows (by ")
    assert breaks.endswith(": on count against 5.")


def test_nothing_is_claimed_where_the_data_cannot_tell(simulated):
    one = simulated.write(bridges=BRIDGES, seeds=(0,))
    (breaks,) = answer(judged(one))
    assert (
        breaks == "The data cannot tell whether linear breaks on any kind of question: 1 of at least 3 seeds."
    )
    same = {"linear": PLAIN, "mlp": PLAIN | {"count": 0.1}}
    breaks, _ = answer(judged(simulated.write("leads", bridges=same, images=200)))
    assert breaks == "linear is not shown to break against any bridge on any kind of question."


def test_what_was_compared(simulated):
    study = read_study(simulated.write(bridges=BRIDGES, converged=False))
    assert compared(summarize(study, intervals=False)) == (
        "Compared: linear (64 tokens, 16.5 k parameters), mlp (64 tokens, 16.5 k parameters), perceiver (16 tokens, 16.5 k parameters) "
        "and qformer (16 tokens, 16.5 k parameters); 3 seeds each; none is shown to have converged; 120 questions on 40 images."
    )


def test_outcomes_at_this_budget_are_marked_and_explained(simulated):
    found = judged(simulated.write(bridges=BRIDGES, images=400, converged=False))
    _, outcomes = answer(found)
    limited = [cell for cell in found.cells.values() if cell.text.endswith("*")]
    assert len(limited) > 1
    assert outcomes.endswith(f"; more training may still change the {len(limited)} outcomes with a *.")
    assert found.cells["qformer", "count"].text.endswith("*")
    one_seed = judged(simulated.write("few", bridges=BRIDGES, seeds=(0,), converged=False))
    assert "more training" not in " ".join(answer(one_seed))


def test_a_single_bridge_has_its_accuracy_printed(simulated):
    path = simulated.write(bridges={"linear": BRIDGES["linear"]}, images=100)
    out = StringIO()
    report(path, console=Console(file=out, width=180))
    printed = out.getvalue()
    assert "Evaluated: linear (64 tokens" in printed
    (row,) = [row for row in summarize(read_study(path)).rows if row.name == "linear"]
    assert f"{100 * row.accuracy['all'].value:.1f}" in printed


def test_the_first_screen_fits_100_columns_and_escapes_names(simulated):
    path = simulated.write(bridges=BRIDGES, images=100, converged=False)
    out = StringIO()
    report(path, console=Console(file=out, width=180))
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["first_look", "on", "world"]
    assert lines[1].startswith("linear ")
    at = next(number for number, line in enumerate(lines) if line.startswith("linear −"))
    assert lines[at].split() == ["linear", "−", "exist", "count", "query"]
    cells = judged(path).cells
    assert lines[at + 3].split() == [
        "qformer",
        *" ".join(cells["qformer", kind].text for kind in ("exist", "count", "query")).split(),
    ]
    assert "▼ breaks: more than 2 points below" in out.getvalue()
    page = next(number for number, line in enumerate(lines) if line.endswith("index.html"))
    assert max(len(line.rstrip()) for line in lines[: page - 2]) <= 100
    assert f"bridgelab report {path} --all" in lines[-1]  # no diagnosis is advised without weights
    assert "Captions and costs" not in out.getvalue()
    report(path, everything=True, console=Console(file=out, width=180))
    assert "Captions and costs" in out.getvalue()


@pytest.mark.parametrize("width", [100, 50])
def test_a_matrix_of_many_kinds_is_printed_in_parts_and_no_number_is_cut(width):
    rows, kinds = ("qformer", "perceiver, budget.tokens=16"), tuple(f"kind_{k}" for k in range(20))
    cells = {
        (row, kind): MatrixCell(row, kind, BREAKS, -10.5 - k, -40, -9, 0.9995, True, "")
        for row in rows
        for k, kind in enumerate(kinds)
    }
    table = Matrix("linear", 2.0, rows, kinds, cells)
    out = StringIO()
    print_answer(Console(file=out, width=width), "heading", [], table)
    assert re.findall(r"▼ −[\d.]+\*", out.getvalue()) == [
        f"▼ −{10.5 + k}*" for part in parts_of(out.getvalue()) for _ in rows for k in part
    ]
    assert "; 99.95 % interval" in _finding(table, cells["qformer", "kind_0"])


def parts_of(printed):
    """Numbers of the kinds in each part of a printed matrix."""
    heads = [
        line.removeprefix("linear −").split() for line in printed.splitlines() if line.startswith("linear −")
    ]
    assert [int(number) for head in heads for number in head] == list(range(20))
    return [[int(number) for number in head] for head in heads]


def test_a_study_without_a_comparison_prints_what_there_is():
    out = StringIO()
    print_answer(Console(file=out, width=80), "a [bold]study[/bold]\x1b[31m", ["One \x1bsentence."], None)
    assert out.getvalue().splitlines()[0].startswith("a [bold]study[/bold]")
    assert "\x1b" not in out.getvalue()
