"""Draw the pictures of the README and the findings from experiments/records, by the charts of the report's page.

Each picture holds a hash of its specification, by which `tests/report/test_pictures.py` holds it equal to what the records give.

    .venv/bin/python docs/draw_pictures.py
"""

import base64
import contextlib
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.render import specification, to_png
from bridgelab.report.charts.saliency import saliency_figure
from bridgelab.report.charts.study import accuracy_figure, break_map_figure, sweep_figure
from bridgelab.report.diagnosis.record import read_diagnoses
from bridgelab.report.examples import select_examples
from bridgelab.report.summary import summarize
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.break_map import break_map

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
HASH = "specification"  # the PNG's text that holds the hash
COLOURS = 256  # of a chart's palette
PHOTOGRAPH = "saliency"  # the figure that a palette would spoil
MAPPED = "linear"  # the bridge whose map is shown
MAP = (
    "published",
    "vit_layer",
    "clutter_trained",
    "patches",
)  # studies of one budget; the first is the map's centre


def figures(records: Path) -> Iterator[tuple[str, Figure]]:
    """Return each picture's name with its figure.

    Args:
        records: an empty folder to unpack the records into.
    """
    for name in ("first_look", "first_look_full", "tokens", *MAP):
        with tarfile.open(FOLDER / "records" / f"{name}.tar.xz") as archive:
            archive.extractall(records, filter="data")
    first_look = read_study(records / "first_look")
    yield "first_look", drawn(accuracy_figure(summarize(first_look)))
    yield "answer", answer_figure(first_look)
    yield "first_look_full", drawn(accuracy_figure(summarize(read_study(records / "first_look_full"))))
    tokens = read_study(records / "tokens")
    yield "tokens", drawn(sweep_figure(tokens, summarize(tokens)))
    yield (
        "break_map",
        break_map_figure(break_map([read_study(records / name, allow=["train.lr"]) for name in MAP])),
    )


def drawn(figure: Figure | None) -> Figure:
    """Return a figure that there is something to draw of."""
    assert figure is not None
    return figure


def answer_figure(study: Study) -> Figure:
    """Return what an answer of the study's diagnosed runs depends on: the map whose largest fall is the largest."""
    maps = {one.id: one for run in read_diagnoses(study.path, study.runs)[MAPPED] for one in run.maps}
    questions = [one for one in select_examples(study) if one.id in maps and len(one.pictures) == 1]
    question = max(questions, key=lambda one: maps[one.id].fall.max())
    with Image.open(io.BytesIO(base64.b64decode(question.pictures[0].partition(",")[2]))) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    one = maps[question.id]
    return saliency_figure([pixels], [one.fall], question=question.prompt, answer=one.said)


def hash_of(figure: Figure) -> str:
    """Return the hash of a figure's specification."""
    return hashlib.sha256(json.dumps(specification(figure), sort_keys=True).encode()).hexdigest()


def write(name: str, figure: Figure) -> Path:
    """Write a figure as a PNG with its hash, and return its path."""
    text = PngInfo()
    text.add_text(HASH, hash_of(figure))
    picture = Image.open(io.BytesIO(to_png(figure))).convert("RGB")
    if figure.name != PHOTOGRAPH:
        picture = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    path = FOLDER / f"{name}.png"
    picture.save(path, pnginfo=text, optimize=True)
    return path


if __name__ == "__main__":
    # In an empty folder, so that pictures are those of the records and not of a world that was drawn here.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, figure in figures(Path(folder)):
            print(write(name, figure).relative_to(FOLDER.parent))
