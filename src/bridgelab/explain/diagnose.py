"""`bridgelab diagnose`: look inside trained bridges, leave a record in each run's folder, and print what was found."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bridgelab.console import get_console
from bridgelab.explain.run_diagnosis import Amounts, look, made_of
from bridgelab.report.diagnosis.figure import draw_diagnosis
from bridgelab.report.diagnosis.record import read_diagnoses, read_diagnosis, write_diagnosis
from bridgelab.report.diagnosis.table import diagnosis_notes, diagnosis_tables
from bridgelab.report.examples import chosen_examples
from bridgelab.report.figures.style import save
from bridgelab.report.table import StudyTable, to_rich
from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.finished import is_finished
from bridgelab.runs.record_schema import Malformed, read_record
from bridgelab.runs.study import Study, read_study

MAPPED = 8  # questions of which maps are made
FIGURE = "diagnosis.png"


def diagnose(
    paths: Sequence[Path],
    amounts: Amounts,
    *,
    again: bool = False,
    trust: bool = False,
    console: Console | None = None,
) -> None:
    """Diagnose runs, and print the tables of their studies; a run that was diagnosed alike already is not looked into again.

    Each run gets `diagnosis.json`, each study `diagnosis.png`; the report takes both up.

    Args:
        paths: runs, or studies, of which all finished runs are taken whose bridge sees images.
        amounts: how much is looked at.
        again: look again, whatever was found before.
        trust: as `load_trained` takes it.
        console: where to print; the terminal if not given.
    Raises:
        FileNotFoundError: if a folder is missing, or no finished run is among them.
        ValueError: if a run cannot be looked into.
    """
    console = console or get_console()
    runs = finished(paths)
    shown = {study: _shown(study) for study in dict.fromkeys(run.parent for run in runs)}
    for k, run in enumerate(runs):
        before = None if again else read_diagnosis(run)
        if before and before.made_of == made_of(run, amounts):
            _say(console, f"{run.name}: {k + 1} of {len(runs)}, diagnosed already")
            continue
        _say(console, f"{run.name}: {k + 1} of {len(runs)}")
        write_diagnosis(run, look(run, amounts, shown[run.parent], trust=trust))
    for study in shown:
        known = _study(study)
        found = read_diagnoses(study, known.bridges if known else ())
        name = study.resolve().name
        console.print(
            to_rich(
                StudyTable(
                    f"{name}: inside the bridges",
                    tuple(diagnosis_tables(found)),
                    tuple(diagnosis_notes(found)),
                )
            )
        )
        if figure := draw_diagnosis(found):
            with atomic_path(study / FIGURE) as aside:
                save(figure, aside)
            _say(console, str(study / FIGURE))


def finished(paths: Sequence[Path]) -> list[Path]:
    """The runs to be looked into: those named, and those of studies named, whose bridge sees images.

    Raises:
        FileNotFoundError: if a folder is missing, or there is no such run.
        ValueError: if a run that is named sees no image.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise FileNotFoundError(
                f"there is no folder {path}. Give a run of runs/<study>/, or a study's folder."
            )
        if (path / "config.yaml").exists():
            if not is_finished(path):
                raise FileNotFoundError(
                    f"{path} has no metrics.json: it is not finished. Run its study again, which goes on with it."
                )
            if (sees := _sees(path)) != "image":
                raise ValueError(
                    f"{path} is of a bridge that sees {sees}, and no image. Give a run of another bridge."
                )
            found.append(path)
        else:
            runs = [run for run in sorted(path.iterdir()) if is_finished(run)]
            for run in runs:
                try:
                    if (run / "last.ckpt").exists() and _sees(run) == "image":
                        found.append(run)
                except Malformed as error:
                    print(f"left out: {error}", file=sys.stderr)
    if not found:
        raise FileNotFoundError(
            f"{', '.join(map(str, paths))}: no finished run of a bridge that sees images. Train one: `bridgelab train`."
        )
    return list(dict.fromkeys(found))


def _sees(run: Path) -> str:
    return str(read_record(run).get("sees", "image"))


def _study(path: Path) -> Study | None:
    """The study, where its records can be read side by side; single runs can be diagnosed without."""
    try:
        return read_study(path)
    except (FileNotFoundError, ValueError):
        return None


def _shown(path: Path) -> list[str]:
    """The first of the questions that the study's page shows."""
    study = _study(path)
    return [one.id for one in chosen_examples(study, most=MAPPED)] if study else []


def _say(console: Console, line: str) -> None:
    console.print(Text(line), style="dim", soft_wrap=True)
