from io import StringIO

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console
from simulated_study import Simulated

from bridgelab.cli.main import main
from bridgelab.report.tables.break_map import break_map_tables
from bridgelab.report.write import report, report_map
from bridgelab.runs.study import read_study
from bridgelab.statistics.break_map import break_map, study_break_map
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS

ALIKE = {"exist": 0.7, "count": 0.5}
BROKEN = {"exist": 0.7, "count": 0.25}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Write three studies; the second has a break planted on count questions."""
    created = Simulated(tmp_path_factory.mktemp("map"))
    return [
        created.write(name, bridges={"linear": linear, "qformer": ALIKE}, images=700, seed_effect=0.0)
        for name, linear in (("near", ALIKE), ("far", BROKEN), ("farther", ALIKE))
    ]


def test_a_planted_break_is_found_there_and_nowhere_else(three):
    result = break_map([read_study(path) for path in three])
    assert result.levels == ("near", "far", "farther")
    assert result.kinds == ("exist", "count")
    assert {key for key, one in result.cells.items() if one.outcome == BREAKS} == {
        ("qformer", "far", "count")
    }
    assert {one.outcome for key, one in result.cells.items() if key[1:] != ("far", "count")} <= {
        HOLDS,
        CANNOT_TELL,
    }


def test_all_cells_are_one_family(three):
    """By hand: Holm multiplies the smallest p by six for six cells, and by two for one study's."""
    studies = [read_study(path) for path in three]
    whole, alone = break_map(studies), break_map(studies[1:2])
    key = ("qformer", "far", "count")
    assert whole.cells[key].p == pytest.approx(3 * alone.cells[key].p)
    assert len(whole.cells) == 3 * len(alone.cells) == 6


def test_what_was_trained_on_another_budget_or_with_two_seeds_is_empty(three, change, simulated):
    short = simulated.write("short", bridges={"linear": BROKEN, "qformer": ALIKE}, images=300)
    for path in short.iterdir():
        change(path, examples_seen=32000)
    few = simulated.write("few", bridges={"linear": BROKEN, "qformer": ALIKE}, images=300, seeds=(0, 1))
    result = break_map([read_study(path) for path in (three[0], short, few)])
    assert {level for _, level, _ in result.cells} == {"near"}
    assert result.empty == {
        ("qformer", "short"): "trained on 32,000 examples, the centre on 64,000",
        ("qformer", "few"): "2 of at least 3 seeds",
    }
    grid = break_map_tables(result)[0]
    assert result.family == 6  # Holm's correction is over empty rows too
    assert "over all 6 cells" in grid.title
    assert [[cell.text for cell in cells[1:]] for _, cells in grid.rows][1:] == [["–", "–"], ["–", "–"]]


def test_a_study_that_sweeps_something_is_a_map_by_itself(simulated, change):
    bridges = {"linear": ALIKE, "qformer": ALIKE}
    path = simulated.write("swept", bridges=bridges, images=60)
    assert study_break_map(read_study(path)) is None
    for run in sorted(path.iterdir()):
        for tokens in (4, 16):
            copy = run.with_name(f"{run.name},budget.tokens={tokens}")
            copy.mkdir()
            for file in run.iterdir():
                (copy / file.name).write_bytes(file.read_bytes())
            change(copy, overrides=copy.name)
            (copy / "config.yaml").write_text(f"budget: {{tokens: {tokens}}}")
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
    assert study_break_map(read_study(path)).levels == ("budget.tokens=4", "budget.tokens=16")
    shown = report(path, console=Console(file=StringIO()))
    assert "Break map: linear − qformer" in shown["table"].read_text()
    assert shown["page"].read_text().count('id="chart-break-map"') == 1


def test_studies_that_declare_different_things_make_no_map(three, change, simulated):
    other = simulated.write("other", bridges={"linear": ALIKE, "qformer": ALIKE}, images=30)
    for path in other.iterdir():
        change(path, verdict={"baseline": "qformer", "delta": 0.02})
    with pytest.raises(ValueError, match=r"a map has one baseline and one δ.*other: baseline=qformer"):
        break_map([read_study(three[0]), read_study(other)])
    blind = simulated.write("blind", bridges={"blind": ALIKE}, images=30)
    with pytest.raises(ValueError, match=r"no study has linear and another bridge .*: blind. Run both"):
        break_map([read_study(blind)])
    with pytest.raises(ValueError, match="at least 1 study"):
        break_map([])
    namesake = Simulated(simulated.root / "elsewhere").write(
        "near", bridges={"linear": ALIKE, "qformer": ALIKE}, images=30
    )
    with pytest.raises(ValueError, match=r"near is the name of two of the 2 studies.* or rename a folder\."):
        break_map([read_study(three[0]), read_study(namesake)])


def test_the_command_prints_the_map_and_writes_its_picture(three, tmp_path, capsys):
    out = tmp_path / "map.png"
    assert main(["map", *map(str, three), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.startswith("qformer, ")]
    assert [row[1] for row in rows] == ["near", "far", "farther"]
    assert [row.count("▼") for row in rows] == [0, 1, 0]
    assert "Break map: linear − qformer" not in printed
    assert main(["map", *map(str, three), "--out", str(out), "--all"]) == 0
    assert "Break map: linear − qformer" in capsys.readouterr().out  # with the interval of each cell
    picture = matplotlib.image.imread(out)[..., :3]
    # The colour of 'breaks' fills one cell of six, and nothing else.
    vermilion = np.abs(picture - np.array([0xF3, 0xB0, 0x8D]) / 255).max(axis=2) < 0.02
    assert 0.01 < vermilion.mean() < 0.2
    report_map(three[:1], out)
    again = matplotlib.image.imread(out)[..., :3]
    assert (np.abs(again - np.array([0xF3, 0xB0, 0x8D]) / 255).max(axis=2) < 0.02).mean() < 0.01
