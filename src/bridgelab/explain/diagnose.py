"""`bridgelab diagnose`: diagnose trained runs, write a record into each run's folder, and print the tables of their studies."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bridgelab.atomic import write_bytes
from bridgelab.console import get_console
from bridgelab.explain.run_diagnosis import Amounts, diagnose_run, is_diagnosis_of
from bridgelab.printable import shown
from bridgelab.report.charts.inside import inside_figure
from bridgelab.report.charts.render import to_png
from bridgelab.report.diagnosis.record import read_diagnoses, read_diagnosis, write_diagnosis
from bridgelab.report.diagnosis.table import diagnosis_notes, diagnosis_tables
from bridgelab.report.examples import select_examples
from bridgelab.report.formats.terminal import to_rich
from bridgelab.report.table import StudyTables
from bridgelab.report.view import example_names
from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import Malformed, read_record
from bridgelab.runs.study import Study, read_study

NUM_MAPPED = 8  # questions that get saliency maps
FIGURE = "diagnosis.png"
CHECKPOINT = "last.ckpt"


def diagnose(
    paths: Sequence[Path],
    amounts: Amounts,
    *,
    again: bool = False,
    trust: bool = False,
    console: Console | None = None,
) -> None:
    """Diagnose runs, and print the tables of their studies. A run with an equal diagnosis, and maps of the same questions as the
    others, is not diagnosed again.

    Each run gets `diagnosis.json`, each study `diagnosis.png`; the report reads both.

    Args:
        paths: runs, or studies, of which all finished runs whose bridge sees images are taken.
        amounts: how many examples to read.
        again: whether to diagnose runs that have an equal diagnosis.
        trust: as `load_trained` takes it.
        console: where to print; the terminal by default.
    Raises:
        FileNotFoundError: if a folder is missing, or no finished run is among them.
        ValueError: if a run cannot be diagnosed.
    """
    console = console or get_console()
    runs = runs_to_diagnose(paths)
    mapped = {study: questions_to_map(study) for study in dict.fromkeys(run.parent for run in runs)}
    for k, run in enumerate(runs):
        previous = None if again else read_diagnosis(run)
        is_known = (
            previous is not None
            and is_diagnosis_of(previous, run, amounts)
            # A row that was added to the study may have changed the questions to map.
            and {one.id for one in previous.maps} >= set(mapped[run.parent])
        )
        _print_line(
            console, f"{run.name}: {k + 1} of {len(runs)}" + (", diagnosed already" if is_known else "")
        )
        if not is_known:
            write_diagnosis(run, diagnose_run(run, amounts, mapped[run.parent], trust=trust))
    for study in mapped:
        _print_study(console, study)


def _print_study(console: Console, path: Path) -> None:
    """Print the tables of a study's diagnoses, and write its figure."""
    study = _read_study(path)
    diagnoses = read_diagnoses(path, study.runs if study else ())
    tables, notes = tuple(diagnosis_tables(diagnoses)), tuple(diagnosis_notes(diagnoses))
    console.print(to_rich(StudyTables(f"{path.name}: inside the bridges", tables, notes)))
    if figure := inside_figure(diagnoses):
        write_bytes(path / FIGURE, to_png(figure))
        _print_line(console, shown(path / FIGURE))


def runs_to_diagnose(paths: Sequence[Path]) -> list[Path]:
    """Return the named runs, and the finished runs of the named studies whose bridge sees images and has its weights.

    Raises:
        FileNotFoundError: if a folder is missing, a named run is not finished or has no weights, or there is no such run.
        ValueError: if a named run's bridge sees no image.
    """
    runs: list[Path] = []
    for path in (Path(os.path.abspath(one)) for one in paths):  # by its own name, also if it is '.'
        if not path.is_dir():
            raise FileNotFoundError(
                f"there is no folder {shown(path)}. Give a run of runs/<study>/, or a study's folder."
            )
        if (path / "config.yaml").exists():
            _check_run(path)
            runs.append(path)
        else:
            runs += _runs_of_study(path)
    if not runs:
        raise FileNotFoundError(
            f"{', '.join(map(str, paths))}: no finished run of a bridge that sees images with its weights, {CHECKPOINT}, which recorded "
            "and evaluated runs lack. Train one: bridgelab train"
        )
    return list(dict.fromkeys(runs))


def _check_run(run: Path) -> None:
    """Check that a run is finished, that its bridge sees images, and that its weights are there."""
    if not is_finished(run):
        raise FileNotFoundError(
            f"{run} has no metrics.json: it is not finished. Run its study again, which resumes it."
        )
    if (sees := _sees(run)) != "image":
        raise ValueError(
            f"{run} is of a bridge that sees {sees}, and no image. Give a run of another bridge."
        )
    if not (run / CHECKPOINT).exists():
        raise FileNotFoundError(
            f"{run} has no weights, {CHECKPOINT}: it is a recorded or an evaluated run. Train it here: bridgelab train"
        )


def _runs_of_study(study: Path) -> list[Path]:
    """Return the finished runs of a study that have a checkpoint and see images; print those that are malformed."""
    runs = []
    for run in sorted(study.iterdir()):
        if not is_finished(run):
            continue
        try:
            if (run / CHECKPOINT).exists() and _sees(run) == "image":
                runs.append(run)
        except Malformed as error:
            print(f"left out: {error}", file=sys.stderr)
    return runs


def _sees(run: Path) -> str:
    return str(read_record(run).get("sees", "image"))


def _read_study(path: Path) -> Study | None:
    """Return the study; None if its records cannot be compared, as single runs are diagnosed all the same."""
    try:
        return read_study(path)
    except (FileNotFoundError, ValueError):
        return None


def questions_to_map(path: Path) -> list[str]:
    """Return names of the first of the questions that the study's page shows; those about several images have no maps."""
    if not (study := _read_study(path)):
        return []
    images = study.questions.set_index(example_names(study.questions))["image"].astype(str)
    return [one.id for one in select_examples(study, most=NUM_MAPPED) if "|" not in images[one.id]]


def _print_line(console: Console, line: str) -> None:
    console.print(Text(line), style="dim", soft_wrap=True)
