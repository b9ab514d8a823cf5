"""TallyQA's reader on entries in its layout, and its two values against numpy."""

import json

import numpy as np
import pytest

from bridgelab.benchmark.metrics.count_metric import CountMetric, parse_count
from bridgelab.benchmark.tally_qa import TallyQa

ENTRY = {
    "answer": 4, "data_source": "imported_genome", "image": "VG_100K_2/2410408.jpg", "image_id": 92410408,
    "issimple": False, "question": "How many headlights does the black bus have?", "question_id": 30095774,
}  # fmt: skip


def write(root, part, *entries):
    (root / f"{part}.json").write_text(json.dumps(entries))


@pytest.fixture
def root(tmp_path):
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        write(tmp_path, part, *[
            ENTRY | {"question_id": k, "image": f"{part}/{k // 2}.jpg", "issimple": k % 3 > 0, "answer": int(draw.integers(16))}
            for k in range(40)
        ])  # fmt: skip
    return tmp_path


def test_an_entry(tmp_path):
    write(tmp_path, "test", ENTRY)
    (example,) = TallyQa(tmp_path, images="photos", prompt="{question} A number.").examples("test")
    assert example.images == (str(tmp_path / "photos" / "VG_100K_2" / "2410408.jpg"),)
    assert (example.prompt, example.answers) == (ENTRY["question"] + " A number.", ("4",))
    assert example.tags == {"type": "complex", "source": "imported_genome"}


def test_val_is_held_out_by_image(root):
    benchmark = TallyQa(root, val_share=0.2)
    train, val = benchmark.examples("train"), benchmark.examples("val")
    assert (len(train), len(val)) == (32, 8)
    assert not {e.images for e in train} & {e.images for e in val}


def test_accuracy_and_error(root):
    benchmark = TallyQa(root)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["answer"]
    truth = np.array([int(e.answers[0]) for e in examples])
    simple = np.array([e.tags["type"] == "simple" for e in examples])
    counts = np.maximum(truth + np.random.default_rng(1).integers(-1, 2, len(truth)), 0)
    metric.update([str(count) for count in counts], examples)
    values = metric.compute()
    assert values["numbers"] == 1
    for suffix, of in (("", simple | True), ("/type=simple", simple), ("/type=complex", ~simple)):
        assert values[f"accuracy{suffix}"] == pytest.approx(np.mean(counts[of] == truth[of]))
        assert values[f"rmse{suffix}"] == pytest.approx(np.sqrt(np.mean((counts[of] - truth[of]) ** 2)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("3", 3), (" 3.", 3), ("Three", 3), ("none", 0), ("ten", 10), ("015", 15), ("", None), ("many", None),
        ("3 or 4", None), ("-1", None), ("9" * 12, None), ("2.5", None),
    ],
)  # fmt: skip
def test_numbers_in_words_and_digits(text, count):
    assert parse_count(text) == count


def test_what_is_no_number_counts_as_zero_objects(tmp_path):
    write(tmp_path, "test", ENTRY, ENTRY | {"question_id": 1, "answer": 0})
    examples, metric = TallyQa(tmp_path).examples("test"), CountMetric()
    metric.update(["many", "many"], examples)
    assert metric.compute() == {"accuracy": 0, "rmse": pytest.approx((16 / 2) ** 0.5), "numbers": 0}


def test_bad_input(tmp_path):
    for change, message in (
        ({"answer": "4"}, r"entry 0 is malformed \(ValueError: answer='4' must be a number of objects\)"),
        ({"answer": -1}, "answer=-1 must be"),
        ({"issimple": 1}, r"entry 0 is malformed \(TypeError: issimple=1 must be true or false\)"),
        ({"image": "../x.jpg"}, "leads out of"),
    ):
        write(tmp_path, "test", ENTRY | change)
        with pytest.raises(ValueError, match=message):
            TallyQa(tmp_path).examples("test")
    write(tmp_path, "test", ENTRY, ENTRY)
    with pytest.raises(ValueError, match="id '30095774' occurs 2 times"):
        TallyQa(tmp_path).examples("test")
    (tmp_path / "test.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"must be JSON with a list of dict\. It holds a list of 2"):
        TallyQa(tmp_path).examples("test")
    with pytest.raises(FileNotFoundError, match=r"train\.json is missing"):
        TallyQa(tmp_path).examples("train")
