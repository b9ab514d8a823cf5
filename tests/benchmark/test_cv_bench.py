"""CV-Bench's reader on files and on parquet in the hub's layout, and its average against lmms-eval's."""

import io
import json
import random
from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bridgelab.benchmark.cv_bench import CvBench

PROMPT = "{question} {options}"
TASKS = {"Count": "ADE20K", "Relation": "COCO", "Depth": "Omni3D", "Distance": "Omni3D"}


def row(k, task, **changes):
    name = "2D" if task in ("Count", "Relation") else "3D"
    return {
        "idx": k, "type": name, "task": task, "question": f"How many, {k}?", "choices": ["1", "2", "3"][: 2 + k % 2],
        "answer": f"({'AB'[k % 2]})", "filename": f"img/{name}/{task.lower()}/{k}.png", "source": TASKS[task],
    } | changes  # fmt: skip


ROWS = [row(k, task) for k, task in enumerate(["Count", "Relation", "Count", "Depth", "Distance", "Depth"])]


def write(root, *rows):
    for name, of in (("test_2d", "2D"), ("test_3d", "3D")):
        lines = [json.dumps(each) for each in rows if each["type"] == of]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return CvBench(root, name="cv_bench", prompt=PROMPT)


def average(scored):
    """lmms-eval's `cv_bench_default_aggregate_results`, from (source, whether it is right)."""
    of = defaultdict(list)
    for source, right in scored:
        of[source].append(right)
    acc = {source: sum(rights) / len(rights) for source, rights in of.items()}
    return 1 / 2 * ((acc["ADE20K"] + acc["COCO"]) / 2 + acc["Omni3D"])


def test_files(tmp_path):
    examples = write(tmp_path, *ROWS).examples("test")
    assert [e.id for e in examples] == ["0", "1", "2", "3", "4", "5"]
    assert examples[1].images == (str(tmp_path / "img" / "2D" / "relation" / "1.png"),)
    assert examples[1].prompt == "How many, 1? (A) 1 (B) 2 (C) 3"
    assert (examples[1].answers, examples[1].choices) == (("2",), ("1", "2", "3"))
    assert examples[3].tags == {"type": "depth", "dimension": "3D", "source": "Omni3D"}


def test_parquet(tmp_path):
    held = io.BytesIO()
    Image.new("RGB", (4, 3)).save(held, "PNG")
    for name, of in (("test_2d", "2D"), ("test_3d", "3D")):
        rows = [
            {**each, "image": {"bytes": held.getvalue(), "path": None}} for each in ROWS if each["type"] == of
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    write(tmp_path, *ROWS)
    files = CvBench(tmp_path, name="cv_bench", prompt=PROMPT).examples("test")
    parquet = CvBench(tmp_path / "kept", name="cv_bench", prompt=PROMPT, hub=str(tmp_path)).examples("test")
    assert [(e.id, e.prompt, e.answers, e.tags) for e in parquet] == [
        (e.id, e.prompt, e.answers, e.tags) for e in files
    ]
    assert parquet[0].images[0].endswith(".png")


def test_average_over_sources(tmp_path):
    draw = random.Random(3)
    benchmark = write(tmp_path, *[row(k, draw.choice(list(TASKS))) for k in range(60)])
    examples, metric = benchmark.examples("test"), benchmark.metrics()["choice"]
    predictions = [draw.choice(e.choices) for e in examples]
    metric.update(predictions, examples)
    values = metric.compute()
    right = [(e.tags["source"], p == e.answers[0]) for p, e in zip(predictions, examples, strict=True)]
    assert values["cv_bench"] == pytest.approx(average(right))
    assert values["cv_bench"] != pytest.approx(values["accuracy"])
    assert values["accuracy_3d"] == pytest.approx(values["accuracy/source=Omni3D"])
    assert metric.check(examples) is None


def test_a_part_has_no_average(tmp_path):
    benchmark = write(tmp_path, *ROWS)
    metric = benchmark.metrics()["choice"]
    examples = [e for e in benchmark.examples("test") if e.tags["source"] != "COCO"]
    assert metric.check(examples) == "no question is from COCO: CV-Bench's own average is not defined"
    metric.update(["1"] * len(examples), examples)
    assert not {"cv_bench", "accuracy_2d"} & metric.compute().keys()


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"test_2d\.jsonl is missing"):
        CvBench(tmp_path, name="cv_bench", prompt=PROMPT).examples("test")
    for change, message in (
        (
            {"answer": "(Z)"},
            r"question 0 is malformed \(ValueError: answer='\(Z\)' must be one of the options' letters",
        ),
        ({"choices": ["1"]}, "question 0 is malformed"),
        (
            {"choices": [1, 2]},
            r"question 0 is malformed \(TypeError: choices=\[1, 2\] must be a list of texts",
        ),
        ({"idx": "0"}, r"line 1 is malformed \(idx='0'\)"),
    ):
        with pytest.raises(ValueError, match=message):
            write(tmp_path, row(0, "Count", **change), row(1, "Depth")).examples("test")


def test_a_row_of_the_hub_with_a_value_of_another_type_is_refused(tmp_path, monkeypatch):
    from bridgelab.benchmark import cv_bench

    for changes in ({"task": None}, {"question": None}, {"choices": "12"}, {"answer": 3}):
        rows = [row(0, "Count", image=str(tmp_path / "a.png")) | changes]
        monkeypatch.setattr(cv_bench, "hub_rows", lambda *_, rows=rows, **__: rows)
        with pytest.raises(ValueError, match=r"them/bench: question 0 is malformed"):
            CvBench(tmp_path, name="cv_bench", prompt=PROMPT, hub="them/bench").examples("test")
