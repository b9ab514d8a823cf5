"""NaturalBench's reader on parquet in the hub's layout, its parse and its scores against the authors' definitions."""

import io
import itertools
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bridgelab.benchmark.metrics.natural_bench_metric import NaturalBenchMetric, parse_answer
from bridgelab.benchmark.natural_bench import NaturalBench


def picture(color):
    held = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(held, "PNG")
    return {"bytes": held.getvalue(), "path": None}


def item(k, kind="yes_no", **changes):
    yes, no = {"yes_no": ("Yes", "No"), "multiple_choice": ("A", "B")}[kind]
    return {
        "Index": k, "Question_0": f"Is it {k}?", "Question_1": f"Is it not {k}?", "Image_0": picture("red"),
        "Image_1": picture("blue"), "Image_0_Question_0": yes, "Image_1_Question_0": no, "Image_0_Question_1": no,
        "Image_1_Question_1": yes, "Question_Type": kind,
    } | changes  # fmt: skip


def benchmark(root, *items):
    pq.write_table(pa.Table.from_pylist(list(items)), root / "train-00000-of-00001.parquet")
    return NaturalBench(root / "kept", name="natural_bench", prompt="{question} {instruction}", hub=str(root))


def extract_answer(text, task_type):
    """The authors' parse: 1 for yes or A, 0 for no or B, -1 for neither."""

    def place(word):
        match = re.search(r"\b" + word + r"\b", text, re.IGNORECASE)
        return match.start() if match else -1

    first, second = (place(word) for word in (("yes", "no") if task_type == "yes_no" else ("A", "B")))
    if first == second == -1:
        return -1
    if first != -1 and second != -1:
        return 1 if first < second else 0
    return 0 if first == -1 else 1


def get_scores(items):
    """The authors' four values, from what was answered to q0_i0, q0_i1, q1_i0, q1_i1 of each item."""
    question = [(r[0] == 1 and r[1] == 0) + (r[3] == 1 and r[2] == 0) for r in items]
    image = [(r[0] == 1 and r[2] == 0) + (r[3] == 1 and r[1] == 0) for r in items]
    binary = [(r[0] == 1) + (r[1] == 0) + (r[2] == 0) + (r[3] == 1) for r in items]
    group = [q == 2 and i == 2 for q, i in zip(question, image, strict=True)]
    n = len(items)
    return {
        "q_acc": sum(question) / (2 * n), "i_acc": sum(image) / (2 * n), "accuracy": sum(binary) / (4 * n),
        "g_acc": sum(group) / n,
    }  # fmt: skip


def test_an_item_is_four_examples(tmp_path):
    examples = benchmark(tmp_path, item(7), item(8, "multiple_choice")).examples("test")
    assert [e.id for e in examples[:4]] == ["0-q0-i0", "0-q0-i1", "0-q1-i0", "0-q1-i1"]
    assert [e.answers[0] for e in examples] == ["Yes", "No", "No", "Yes", "A", "B", "B", "A"]
    assert examples[2].prompt == "Is it not 7? Please answer Yes or No."
    assert examples[4].prompt.endswith("Please output the letter corresponding to the correct option.")
    assert examples[0].images == examples[2].images != examples[1].images
    assert examples[1].tags == {"format": "yes_no", "group": "0", "question": "0-q0", "image": "0-i1"}


def test_older_releases_name_the_type_otherwise(tmp_path):
    older = item(0)
    older["Question Type"] = older.pop("Question_Type")
    assert benchmark(tmp_path, older).examples("test")[0].tags["format"] == "yes_no"


@pytest.mark.parametrize("kind", ["yes_no", "multiple_choice"])
def test_scores_are_the_authors(tmp_path, kind):
    """All 16 patterns of answers, and answers that hold neither word."""
    yes, no = {"yes_no": ("Yes.", "no way"), "multiple_choice": ("(A)", "b")}[kind]
    patterns = [*itertools.product((yes, no), repeat=4), (yes, "perhaps", no, yes), ("", "", "", "")]
    natural = benchmark(tmp_path, *[item(k, kind) for k in range(len(patterns))])
    examples, metric = natural.examples("test"), natural.metrics()["answer"]
    metric.update([answer for pattern in patterns for answer in pattern], examples)
    values = metric.compute()
    expected = get_scores([[extract_answer(answer, kind) for answer in pattern] for pattern in patterns])
    assert {name: values[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["yes_no", "multiple_choice"])
@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "NO",
        "No, yes",
        "yes and no",
        "nothing",
        "A",
        "b.",
        "B or A",
        "a dog",
        "Abba",
        "",
        "yes\nno",
        "know",
    ],
)
def test_parse(kind, text):
    number = {None: -1, "yes": 1, "A": 1, "no": 0, "B": 0}[parse_answer(text, kind)]
    assert number == extract_answer(text, kind)


def test_incomplete_items_are_left_out(tmp_path):
    examples = benchmark(tmp_path, item(0), item(1)).examples("test")
    metric = NaturalBenchMetric()
    metric.update(["Yes", "No", "No", "Yes", "No"], examples[:5])
    assert metric.compute() == {"accuracy": 0.8, "q_acc": 1, "i_acc": 1, "g_acc": 1}
    with pytest.raises(
        ValueError, match=r"none of 1 groups has all of its 2 examples: .*Raise evaluate\.limit"
    ):
        NaturalBenchMetric().check(examples[:1])


def test_bad_input(tmp_path):
    for change, message in (
        (
            {"Question_Type": "open"},
            "item 0 is malformed .*Question_Type='open': must be one of yes_no, multiple_choice",
        ),
        ({"Image_0_Question_0": "maybe"}, "answer='maybe' must be one of yes, no"),
        ({"Image_0_Question_0": None}, "item 0 is malformed"),
        ({"Image_1": None}, "item 0 is malformed"),
    ):
        with pytest.raises(ValueError, match=message):
            benchmark(tmp_path, item(0, **change), item(1)).examples("test")
