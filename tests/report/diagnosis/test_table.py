import shutil

import pandas as pd
import pytest
from simulated_study import TRUTH

from bridgelab.report.charts.inside import PANELS, inside_figure, inside_numbers
from bridgelab.report.diagnosis.record import pooled_number, read_diagnoses
from bridgelab.report.diagnosis.table import diagnosis_notes, diagnosis_tables
from bridgelab.runs.study import read_study
from bridgelab.world.scene import ATTRIBUTES


def test_every_number_stands_in_a_table(simulated, diagnosed):
    study = simulated.write(images=10)
    diagnosed(study)
    found = read_diagnoses(study, read_study(study).runs)
    grids = {grid.title.split(" ")[0]: grid for grid in diagnosis_tables(found)}
    selection = grids["Selection"]
    assert [cells[0].text for _, cells in selection.rows] == ["linear", "mlp", "perceiver", "qformer"]
    visited = pooled_number(found["mlp"], "selection/visited")
    low, high = visited.interval
    assert selection.rows[1][1][1].text == f"{visited.value:.2f}"
    assert selection.rows[1][1][1].interval == f"{low:.2f}–{high:.2f}"
    assert (
        selection.rows[1][1][5].text
        == f"{100 * pooled_number(found['mlp'], 'selection/selection').value:.1f}"
    )
    attention = grids["Attention"]
    assert "no cause" in attention.title
    assert [cells[0].text for _, cells in attention.rows] == ["perceiver", "qformer"]
    probes = next(grid for grid in diagnosis_tables(found) if "probes read of the objects" in grid.title)
    assert [role for role, _ in probes.rows] == ["floor", "ceiling", *["bridge"] * 4]
    assert grids["Modality"].rows[0][1][-1].text == "red, <b>cube</b>"
    for grid in diagnosis_tables(found):
        assert all(len(cells) == len(grid.columns) for _, cells in grid.rows)
    notes = diagnosis_notes(found)
    assert "390 questions" in notes[0]
    assert notes[-1].endswith("over seeds and images; runs: linear 3, mlp 3, perceiver 3, qformer 3.")
    assert notes[1].startswith("Probes: fitted on 1500 training images, tested on 400 test images")
    # Of a bridge with many tokens, fewer images fit into memory; the ceiling is that of most images.
    for run in found["linear"]:
        run.counts["fit"] = 600
    probes = next(grid for grid in diagnosis_tables(found) if "probes read of the objects" in grid.title)
    ceiling = pooled_number(found["mlp"][:1], "probe/patches/occupied").value
    assert probes.rows[1][1][1].text == f"{100 * ceiling:.1f}"
    assert diagnosis_notes(found)[1].startswith(
        "Probes: fitted on 1500 training images (linear on 600, as its tokens fill the memory; a probe of fewer images reads less), "
    )


@pytest.mark.parametrize("comparable", [True, False])
def test_each_vit_of_a_study_has_its_own_ceiling_and_patches(simulated, diagnosed, change, comparable):
    """A study of two ViTs; where its runs cannot be compared, their fingerprints name them."""
    study = simulated.write(bridges={name: TRUTH[name] for name in ("linear", "mlp")}, seeds=(0,), images=10)
    for bridge in ("linear", "mlp"):
        for layer in ("3", "5"):
            run = study / f"bridge={bridge},seed=0,vision.layer={layer}"
            shutil.copytree(study / f"bridge={bridge},seed=0", run)
            change(run, overrides=run.name, fingerprints={"vision": f"{layer}{'f' * 63}", "text": "bb"})
        shutil.rmtree(study / f"bridge={bridge},seed=0")
    diagnosed(study)
    found = read_diagnoses(study, read_study(study).runs if comparable else ())
    names = ["vision.layer=3", "vision.layer=5"] if comparable else ["3fffffff", "5fffffff"]
    grids = diagnosis_tables(found)
    probes = next(grid for grid in grids if "probes read of the objects" in grid.title)
    patches = next(grid for grid in grids if "from one patch" in grid.title)
    assert [role for role, _ in probes.rows] == ["floor", "ceiling", "ceiling", *["bridge"] * 4]
    assert len(patches.rows) == 8
    for place, name in enumerate(names):
        (run,) = read_diagnoses(study, ())[f"bridge=linear,seed=0,vision.layer={'35'[place]}"]
        assert [cell.text for cell in probes.rows[1 + place][1][:2]] == [
            f"patches, before the bridge, {name}", f"{100 * run.numbers['probe/patches/occupied'].value:.1f}"
        ]  # fmt: skip
        assert [cell.text for cell in patches.rows[4 * place][1][:2]] == [
            f"its own patch, {name}", f"{100 * run.numbers[f'background/own/{next(iter(ATTRIBUTES))}'].value:.1f}"
        ]  # fmt: skip


def test_the_note_on_probes_says_what_a_bridge_was_asked(simulated, diagnosed):
    study = simulated.write(images=10)
    diagnosed(study)
    found = read_diagnoses(study, read_study(study).runs)
    assert "is given the request to describe the image." in " ".join(diagnosis_notes(found))
    next(iter(found.values()))[0].counts["first_questions"] = 10
    notes = " ".join(diagnosis_notes(found))
    assert ("is given each image's first question" in notes, "describe the image" in notes) == (True, False)


def test_what_was_not_told_has_no_table_and_no_panel(simulated, diagnosed, change):
    study = simulated.write(images=10)
    diagnosed(study)
    found = read_diagnoses(study, read_study(study).runs)
    for runs in found.values():
        for run in runs:
            for name in [n for n in run.numbers if not n.startswith("rank")]:
                del run.numbers[name]
            run.counts.clear()
            run.left_out["selection"] = "pope has no scenes"
    (grid,) = diagnosis_tables(found)
    assert "effective rank" in grid.title
    assert diagnosis_notes(found)[0] == "Not measured: selection: pope has no scenes."
    assert len(inside_figure(found).panels) == 1
    assert diagnosis_tables({}) == diagnosis_notes({}) == []
    assert inside_figure({}) is None


def test_the_figure_has_all_panels_and_the_numbers_of_the_tables(simulated, diagnosed):
    study = simulated.write(images=10)
    diagnosed(study)
    found = read_diagnoses(study, read_study(study).runs)
    figure = inside_figure(found)
    assert len(figure.panels) == 5
    frame = pd.concat(inside_numbers(found, panel) for panel in PANELS)
    numbers = frame.set_index(["panel", "group", "of"])
    selection = numbers[numbers["bridge"] != ""].loc[("Selection", "selection", "mlp")]
    assert selection["value"].item() == pytest.approx(
        100 * pooled_number(found["mlp"], "selection/selection").value, abs=1e-3
    )
    guesses = frame[frame["compared with"] == "a guess"]
    assert len(guesses)
    assert (guesses["bridge"] == "").all()
    assert guesses["low"].isna().all()
