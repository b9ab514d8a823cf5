"""A-OKVQA's reader on entries in its layout, and both scores against its evaluation."""

import json
import random

import pytest

from bridgelab.benchmark.a_okvqa import AOkvqa

CHOICES = ["train", "cab", "skateboarder", "delivery"]


def entry(k, **changes):
    return {
        "split": "val", "image_id": 299207 + k, "question_id": f"id{k}", "question": f"What is {k} awaiting?",
        "choices": CHOICES, "correct_choice_idx": k % 4, "direct_answers": ["cab"] * (k % 5) + ["a ride"] * (10 - k % 5),
        "difficult_direct_answer": k % 3 == 2, "rationales": ["Because.", "So.", "It is."],
    } | changes  # fmt: skip


def eval_aokvqa(dataset, preds, multiple_choice):
    """The authors' score, in per cent, from evaluation/eval_predictions.py (42e8c44ff40d)."""
    if multiple_choice is False:
        dataset = [entry for entry in dataset if entry["difficult_direct_answer"] is False]
    scores = []
    for question in dataset:
        prediction = preds[question["question_id"]]
        if multiple_choice:
            scores.append(float(prediction == question["choices"][question["correct_choice_idx"]]))
        else:
            scores.append(min(1.0, sum(prediction == answer for answer in question["direct_answers"]) / 3.0))
    return sum(scores) / len(scores) * 100


def write(root, part, *entries):
    (root / f"aokvqa_v1p0_{part}.json").write_text(json.dumps(entries))


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "train", *[entry(k, image_id=k) for k in range(20)])
    write(tmp_path, "val", *[entry(k) for k in range(12)])
    return tmp_path


def test_both_kinds(root):
    benchmark = AOkvqa(root, images="coco", prompt="{question} ?", choice_prompt="{question} {options}")
    choice, answer = (benchmark.examples("test", kind)[1] for kind in benchmark.kinds)
    assert choice.images == (str(root / "coco" / "val2017" / "000000299208.jpg"),) == answer.images
    assert choice.prompt == "What is 1 awaiting? (A) train (B) cab (C) skateboarder (D) delivery"
    assert (choice.answers, choice.choices) == (("cab",), tuple(CHOICES))
    assert (answer.prompt, answer.answers[0], len(answer.answers)) == ("What is 1 awaiting? ?", "a ride", 10)
    assert len(benchmark.examples("test", "choice")) == 12
    assert [e.id for e in benchmark.examples("test", "answer")] == [f"id{k}" for k in range(12) if k % 3 < 2]
    train, val = (benchmark.examples(split, "choice") for split in ("train", "val"))
    assert (len(train), len(val)) == (19, 1)


def test_scores_are_those_of_the_evaluation(root):
    benchmark, draw = AOkvqa(root), random.Random(0)
    dataset = json.loads((root / "aokvqa_v1p0_val.json").read_text())
    for kind, answers in (("choice", CHOICES), ("answer", ["cab", "a ride", "train"])):
        examples, metric = benchmark.examples("test", kind), benchmark.metrics()[kind]
        predictions = {e["question_id"]: draw.choice(answers) for e in dataset}
        metric.update([predictions[e.id] for e in examples], examples)
        expected = eval_aokvqa(dataset, predictions, multiple_choice=kind == "choice")
        assert metric.compute()["accuracy"] * 100 == pytest.approx(expected)
        assert 0 < expected < 100


def test_bad_input(root):
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        AOkvqa(root, choice_prompt="{options}")
    for change, message in (
        (
            {"correct_choice_idx": 4},
            r"entry 0 is malformed \(ValueError: answer=4 must be an index of 4 choices",
        ),
        ({"correct_choice_idx": None}, "answer=None must be an index"),
        ({"image_id": "7"}, "entry 0 is malformed"),
        ({"image_id": True}, "image_id=True must be a number"),
        ({"image_id": -1}, "image_id=-1 must be a number"),
        ({"question": None}, "entry 0 is malformed"),
        ({"choices": ["cab"] * 4}, None),  # distinguished by their letters
    ):
        write(root, "val", entry(0) | change)
        if message is None:
            assert AOkvqa(root).examples("test", "choice")[0].answers == ("(A) cab",)
            continue
        with pytest.raises(ValueError, match=message):
            AOkvqa(root).examples("test", "choice")
    without = {key: value for key, value in entry(0).items() if key != "direct_answers"}
    write(root, "val", without)
    with pytest.raises(ValueError, match=r"entry 0 is malformed \(KeyError: 'direct_answers'\)"):
        AOkvqa(root).examples("test", "answer")
    for changes, message in (
        ({"difficult_direct_answer": "false"}, r"difficult_direct_answer='false' must be true or false"),
        ({"direct_answers": "yes"}, r"answers='yes' must be a list"),
    ):
        write(root, "val", entry(0, **changes))
        with pytest.raises(ValueError, match=message):
            AOkvqa(root).examples("test", "answer")
    (root / "aokvqa_v1p0_val.json").write_text('{"id0": {}}')
    with pytest.raises(ValueError, match=r"must be JSON with a list of dict\. It holds an object with id0"):
        AOkvqa(root).examples("test")
    (root / "aokvqa_v1p0_val.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"aokvqa_v1p0_val\.json is missing\. Expected layout: aokvqa"
    ):
        AOkvqa(root).examples("test")
