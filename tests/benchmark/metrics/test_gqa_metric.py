"""GQA's metrics against what the official code printed, and by hand."""

import json
import os
from pathlib import Path

import pytest

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.gqa import Gqa
from bridgelab.benchmark.metrics.gqa_metric import GqaMetric
from bridgelab.evaluation.predict import Prediction
from bridgelab.evaluation.score import score

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
GOLDEN = SHARED / "golden_scorers" / "gqa_small.json"
TAGS = {
    "type": "query",
    "family": "attr",
    "detailed": "color",
    "steps": 2,
    "question_words": 4,
    "balanced": 1,
}


def example(id, answer="red", **tags):
    return Example(id, ("/x.png",), "?", (answer,), "answer", TAGS | tags)


@pytest.mark.skipif(
    not GOLDEN.is_file(), reason=f"{GOLDEN} (GQA's own output) is not here: set BRIDGELAB_SHARED_DATA"
)
def test_official_output(tmp_path):
    """All lines but three, which the official code prints as 0 where the files that they need are not there."""
    golden = json.loads(GOLDEN.read_text())
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "testdev_all_questions.json").write_text(json.dumps(golden["questions"]))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    gqa = Gqa(tmp_path, train=None, val=None, test="testdev_all")
    examples = gqa.examples("test")
    predictions = {p["questionId"]: p["prediction"] for p in golden["predictions"]}
    metric = gqa.metrics()["answer"]
    metric.update([predictions[e.id] for e in examples], examples)
    values = metric.compute()
    printed, section = {}, ""
    for line in golden["expected_stdout"].splitlines():
        name, colon, value = line.partition(": ")
        if line.startswith("Accuracy /"):
            section = line.split()[2]
        elif colon:
            key = f"accuracy/{section}={name.strip()}" if section else name.strip().lower()
            printed[key] = value.split()[0]
    assert [printed.pop(name) for name in ("validity", "plausibility", "grounding")] == ["0.00%"] * 3
    mine = {
        name: f"{value:.2f}" if name == "distribution" else f"{100 * value:.2f}%"
        for name, value in values.items()
        if not name.startswith("accuracy/detailed")
    }
    assert len(printed) == 5 + 4 + 3 + 3 + 3
    assert mine == printed
    assert values["distribution"] == pytest.approx((3 * (1 + 1 / 2) + 1 * 1) / 4 / 100)


def test_consistency():
    """Over right, balanced questions with other entailed ones; these count whether balanced or not."""
    examples = [
        example("1", entailed="2 3"),
        example("2", "yes", type="verify", entailed="1"),
        example("3", balanced=0, entailed="1"),
        example("4", entailed="1 2"),
    ]
    metric = GqaMetric()
    metric.update(["red", "yes", "blue", "blue"], examples)
    values = metric.compute()
    assert values["consistency"] == pytest.approx((1 / 2 + 1) / 2)
    assert (values["accuracy"], values["binary"], values["open"]) == (pytest.approx(2 / 3), 1, 0.5)
    metric.reset()
    metric.update(["red", "yes", "blue"], [examples[0], examples[1], examples[3]])
    assert "consistency" not in metric.compute()  # question 3 was not examples


def test_validity_and_plausibility():
    choices = {
        "1": {"valid": ["red", "blue"], "plausible": ["red"]},
        "2": {"valid": ["yes", "no"], "plausible": ["yes", "no"]},
    }
    examples = [example("1"), example("2", "yes", type="verify"), example("3", "color", detailed="twoCommon")]
    metric = GqaMetric(choices=choices)
    metric.update(["blue", "maybe", "shape"], examples)
    values = metric.compute()
    assert (values["validity"], values["plausibility"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    metric.update(["red"], [example("4")])
    with pytest.raises(ValueError, match="question 4 is not among the 2 of the choices file"):
        metric.check([example("4")])
    with pytest.raises(ValueError, match="question 4 is not among the 2 of the choices file"):
        metric.compute()


def test_breakdowns_are_over_balanced_questions():
    metric = GqaMetric()
    metric.update(
        ["red", "Red", "red"],
        [example("1"), example("2", steps=3, family="obj"), example("3", steps=3, balanced=0)],
    )
    values = metric.compute()
    assert values == {
        "accuracy": 0.5,
        "binary": 0,
        "open": 0.5,
        "consistency": 0,
        "accuracy/structural=query": 0.5,
        "accuracy/semantic=attr": 1,
        "accuracy/semantic=obj": 0,
        "accuracy/detailed=color": 0.5,
        "accuracy/steps=2": 1,
        "accuracy/steps=3": 0,
        "accuracy/words=4": 0.5,
    }


def test_the_record_has_the_answers_that_the_accuracy_is_over():
    class Tokenized(list):
        examples = property(list)

    asked = Tokenized([example("1"), *(example(str(number), balanced=0) for number in (2, 3))])
    given = {("answer", "image"): [Prediction(text, -1.0) for text in ("red", "blue", "blue")]}
    rows, values = score(
        given, {"answer": asked}, {"answer": GqaMetric()}, {"answer": [example("4", "blue")]}
    )
    assert [(row["id"], row["score"]) for row in rows] == [("1", 1)]
    assert (values["test/accuracy"], values["test/majority"]) == (1, 0)


def test_bad_input():
    metric = GqaMetric()
    metric.update(["red"], [example("1", balanced=0)])
    with pytest.raises(ValueError, match=r"0 of 1 questions are balanced.*benchmark\.test"):
        metric.compute()
    with pytest.raises(ValueError, match="0 of 1 questions are balanced"):
        metric.check([example("1", balanced=0)])  # before anything is predicted
    with pytest.raises(ValueError, match=r"0 of 1 questions are balanced.*benchmark\.val"):
        metric.check([example("1", balanced=0)], scores_only=True)  # of val
    assert metric.check([example("1")]) is None
