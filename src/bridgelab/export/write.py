"""Write the answers of a run, or of all runs of a study, for other tools. Free of torch."""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bridgelab.atomic import write_text
from bridgelab.export.inspect_log import eval_log
from bridgelab.export.lmms_eval_samples import samples
from bridgelab.export.rliable_scores import rliable_scores
from bridgelab.export.task import tasks
from bridgelab.runs.answer_frame import answer_frame
from bridgelab.runs.csv_frame import csv_frame
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.predictions import Answers
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.run import Run
from bridgelab.runs.study import read_study

log = logging.getLogger(__name__)


def export(source: Path, form: str, out: Path | None = None) -> list[Path]:
    """Write answers in a format of `export.FORMATS`, and return the paths of the files.

    lmms-eval and inspect get a file for each run and kind of example; rliable and csv get one file. Runs of a study that are not
    finished or cannot be read are left out with a warning.

    Args:
        source: the folder of a finished run or of a study.
        form: the format.
        out: folder for the files; by default `export/<format>` in the source.
    Raises:
        FileNotFoundError: if the folder holds no finished run.
        ValueError: if a record is malformed, or a study's runs cannot be compared.
    """
    runs = _runs(source)
    out = out or source / "export" / form
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in _files(runs, form):
        path = out / name.replace("/", "_")  # in the name of a benchmark or a kind
        write_text(path, content)
        paths.append(path)
    return paths


def _runs(source: Path) -> Sequence[Run]:
    if not is_finished(source):
        study = read_study(source)
        for missing in study.missing:
            log.warning("left out: %s", missing)
        return study.runs
    record = read_record(source, ("bridge", "seed", "benchmark"))
    return [Run(source.resolve(), record, scores=Answers(source).scores(source))]


def _files(runs: Sequence[Run], form: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each file."""
    if form == "csv":
        yield "answers.csv", csv_frame(answer_frame(runs))
    elif form == "rliable":
        yield "scores.json", rliable_scores(runs)
    else:
        for run in runs:
            for task in tasks(run):
                if form == "lmms-eval":
                    yield f"{run.path.name}_samples_{task.name}.jsonl", samples(task)
                else:
                    yield f"{run.path.name}_{task.name}.json", eval_log(run, task, _written(run))


def _written(run: Run) -> str:
    """Return when a run's record was written, in ISO 8601."""
    return datetime.fromtimestamp((run.path / RECORD).stat().st_mtime, UTC).isoformat(timespec="seconds")
