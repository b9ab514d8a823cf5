"""MMVP's reader on a file in its layout, and its pairs against the authors' counting."""

import random

import pytest

from bridgelab.benchmark.mmvp import Mmvp
from bridgelab.data.example_limits import limit_examples

HEADER = "Index,Question,Options,Correct Answer"
PROMPT = "{question} {options}"


def write(root, *rows, header=HEADER, bom=""):
    (root / "Questions.csv").write_text("\r\n".join([bom + header, *rows]) + "\r\n")
    return Mmvp(root, name="mmvp", prompt=PROMPT)


def rows_of(count):
    return [f'{k},"Is it open, or not?",(a) Open (b) Closed,({"ab"[k % 2]})' for k in range(1, count + 1)]


def pairs(answers):
    """gpt_grader.py's accuracy, from whether each answer in turn is right."""
    index, round_correct, num_correct, num_total = 0, 0, 0, 0
    for right in answers:
        index += 1
        round_correct += right
        if index == 2:
            num_correct += round_correct == 2
            index, round_correct = 0, 0
            num_total += 1
    return num_correct / num_total


@pytest.mark.parametrize(("header", "bom"), [(HEADER, ""), (HEADER.replace("Index", "lndex"), "\ufeff")])
def test_questions(tmp_path, header, bom):
    first, second = write(tmp_path, *rows_of(2), header=header, bom=bom).examples("test")
    assert first.images == (str(tmp_path / "MMVP Images" / "1.jpg"),)
    assert first.prompt == "Is it open, or not? (A) Open (B) Closed"
    assert (first.choices, first.answers, second.answers) == (("Open", "Closed"), ("Closed",), ("Open",))
    assert first.tags == second.tags == {"pair": "1", "group": "1"}


def test_pairs_as_the_authors_count(tmp_path):
    benchmark, draw = write(tmp_path, *rows_of(40)), random.Random(0)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["choice"]
    predictions = [draw.choice(e.choices) for e in examples]
    metric.update(predictions, examples)
    right = [p == e.answers[0] for p, e in zip(predictions, examples, strict=True)]
    assert metric.compute() == {
        "accuracy": pytest.approx(sum(right) / 40),
        "pair_accuracy": pytest.approx(pairs(right)),
    }
    assert 0 < pairs(right) < sum(right) / 40
    limited = limit_examples({"choice": examples}, {"answer": 9}, whole_groups=True)["choice"]
    assert [e.tags["pair"] for e in limited[::2]] == [e.tags["pair"] for e in limited[1::2]]
    assert len(limited) == 8


def test_the_four_swapped_answers(tmp_path):
    published = write(tmp_path, *rows_of(300)).examples("test")
    corrected = Mmvp(tmp_path, name="mmvp", prompt=PROMPT, variant="corrected").examples("test")
    changed = [int(a.id) for a, b in zip(published, corrected, strict=True) if a.answers != b.answers]
    assert changed == []  # these rows alternate as the corrected ones do
    swapped = rows_of(300)
    for k in (99, 100, 279, 280):
        swapped[k - 1] = swapped[k - 1][:-2] + {"a": "b", "b": "a"}[swapped[k - 1][-2]] + ")"
    published = write(tmp_path, *swapped).examples("test")
    changed = [int(a.id) for a, b in zip(published, corrected, strict=True) if a.answers != b.answers]
    assert changed == [99, 100, 279, 280]


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Questions\.csv is missing"):
        Mmvp(tmp_path, name="mmvp", prompt=PROMPT).examples("test")
    with pytest.raises(ValueError, match="variant='new': must be one of published, corrected"):
        Mmvp(tmp_path, name="mmvp", prompt=PROMPT, variant="new")
    with pytest.raises(ValueError, match="has no column Options, but Index, Question, Correct Answer"):
        write(tmp_path, "1,q,(a)", header="Index,Question,Correct Answer").examples("test")
    for row, message in (
        (
            "1,q,(a) Open (b) Closed,(c)",
            r"question 1 is malformed \(answer='\(c\)' must be one of the options' letters, A, B",
        ),
        ("1,q,Open or Closed,(a)", "question 1 is malformed"),
        ("1,q,(a) Open (b) Closed", "question 1 is malformed"),
        (
            "1,q,(a) Open (b) Closed,(a)\r\n3,q,(a) Open (b) Closed,(a)",
            r"question 2 is malformed \(its number is '3' and must be 2, since row n",
        ),
        ("1,q,(a) Open (b) Closed,(a)" + 140_000 * "x", r"Questions\.csv can't be read \(field larger than"),
    ):
        with pytest.raises(ValueError, match=message):
            write(tmp_path, row).examples("test")
