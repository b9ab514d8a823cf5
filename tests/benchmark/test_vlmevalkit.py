"""VLMEvalKit's multiple-choice benchmarks on small tables, and their accuracies against its `report_acc`."""

import base64
import io
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bridgelab.benchmark.vlmevalkit import VlmEvalKit
from bridgelab.data.example_limits import limit_examples

PROMPT = "{hint} | {question} | {options}"


def picture(color):
    held = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def report_acc(df):
    """VLMEvalKit's accuracies of a table without splits: overall, and by each category of both levels."""
    result = {"Overall": np.mean(df["hit"])}
    for group in ("l2-category", "category"):
        if group in df:
            result |= {value: np.mean(df[df[group] == value]["hit"]) for value in sorted(set(df[group]))}
    return result


def circular_hits(df):
    """The hits of its `mcq_circular_eval`: those of the first orders, each 1 if all orders of its question are right."""
    main = df[df["index"] == df["g_index"]].copy()
    main["hit"] = [int(df[df["g_index"] == index]["hit"].all()) for index in main["index"]]
    return main


def write(root, rows, file="t.tsv"):
    pd.DataFrame(rows).to_csv(root / file, sep="\t", index=False)


def rows_of(count):
    return [
        {
            "index": k, "image": picture("red") if k == 0 else 0, "question": f"q{k}?", "hint": "look" if k == 1 else None,
            "A": "red", "B": "None" if k == 2 else "blue", "C": "grey" if k % 2 else None, "answer": "AB"[k % 2],
            "category": ("color", "shape")[k % 2], "l2-category": "perception" if k < 3 else "reasoning",
        }
        for k in range(count)
    ]  # fmt: skip


def test_a_table(tmp_path):
    write(tmp_path, rows_of(4))
    examples = VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="t.tsv").examples("test")
    first, second, third, _ = examples
    assert first.prompt == "N/A | q0? | (A) red (B) blue"
    assert second.prompt == "look | q1? | (A) red (B) blue (C) grey"
    assert (first.answers, second.answers) == (("red",), ("blue",))
    assert third.choices == ("red", "None")  # a text, as its authors wrote it
    assert second.tags == {"type": "shape", "family": "perception"}
    assert len({e.images for e in examples}) == 1


def test_an_answer_is_the_option_of_its_letter_though_one_is_left_out(tmp_path):
    row = rows_of(1)[0] | {"B": None, "C": "grey", "D": "green", "answer": "C"}
    write(tmp_path, [row])
    (example,) = VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="t.tsv").examples("test")
    assert (example.choices, example.answers) == (("red", "grey", "green"), ("grey",))
    write(tmp_path, [row | {"answer": "B"}], "u.tsv")
    with pytest.raises(
        ValueError, match=r"row with index 0: answer='B' must be one of the options' letters, A, C, D"
    ):
        VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="u.tsv").examples("test")
    write(tmp_path, [row | {"image": None}], "v.tsv")
    with pytest.raises(ValueError, match=r"v\.tsv holds 0 questions with an image\. Get the table again"):
        VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="v.tsv").examples("test")


def test_accuracy_is_report_acc(tmp_path):
    rows = rows_of(9)
    write(tmp_path, rows)
    benchmark = VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="t.tsv", type_column="l2-category")
    examples = benchmark.examples("test")
    chosen = np.random.default_rng(0).integers(2, size=len(examples))
    predictions = [e.choices[k] for e, k in zip(examples, chosen, strict=True)]
    metric = benchmark.metrics()["choice"]
    metric.update(predictions, examples)
    hits = [int(p == e.answers[0]) for p, e in zip(predictions, examples, strict=True)]
    expected = report_acc(pd.DataFrame(rows).assign(hit=hits))
    tags = {"perception": "type", "reasoning": "type", "color": "family", "shape": "family"}
    assert metric.compute() == pytest.approx(
        {
            "accuracy" if name == "Overall" else f"accuracy/{tags[name]}={name}": v
            for name, v in expected.items()
        }
    )


@pytest.mark.parametrize("column", [True, False])
def test_circular_accuracy(tmp_path, column):
    """All orders of the options are further rows, a million apart; newer tables also name the question."""
    rows = []
    for k in range(6):
        for turn in range(2):
            index = k + turn * 1_000_000
            options = ("red", "blue") if turn == 0 else ("blue", "red")
            rows.append({
                "index": index, "image": picture("red") if index == 0 else 0, "question": f"q{k}?", "A": options[0],
                "B": options[1], "answer": "AB"[turn], "category": ("color", "shape")[k > 3], **({"g_index": k} if column else {}),
            })  # fmt: skip
    write(tmp_path, rows)
    benchmark = VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="t.tsv", variant="circular")
    examples = benchmark.examples("test")
    hits = np.random.default_rng(1).integers(2, size=len(examples))
    metric = benchmark.metrics()["choice"]
    metric.update([("blue", "red")[hit] for hit in hits], examples)
    frame = pd.DataFrame(rows).assign(hit=hits)
    frame["g_index"] = [int(x % 1e6) for x in frame["index"]]
    values = metric.compute()
    for name, scored in (("circular_accuracy", circular_hits(frame)), ("accuracy", frame)):
        published = report_acc(scored)
        assert values.pop(name) == pytest.approx(published.pop("Overall"))
        assert {c: values.pop(f"{name}/type={c}") for c in published} == pytest.approx(published)
    assert not values
    assert 0 < circular_hits(frame)["hit"].mean() < hits.mean()
    # A question of which a limit left one order would be right too easily.
    limited = limit_examples({"choice": examples}, {"answer": 5}, whole_groups=True)["choice"]
    orders = Counter(e.prompt[: e.prompt.index("?")] for e in limited)
    assert sorted(orders.values()) == [2, 2]


def test_questions_with_another_number_of_images_are_left_out(tmp_path):
    rows = rows_of(3)
    rows[1]["image"] = str([picture("red"), picture("blue")])
    write(tmp_path, rows)

    def read(count):
        options = {"file": "t.tsv", "images_per_question": count}
        return VlmEvalKit(tmp_path, name="blink", prompt=PROMPT, **options).examples("test")

    assert [e.id for e in read(1)] == ["0", "2"]
    (only,) = read(2)
    assert (only.id, len(only.images)) == ("1", 2)
    with pytest.raises(ValueError, match=r"holds 0 questions with 4 images, but with 1, 2\. Set benchmark"):
        read(4)


def test_bad_input(tmp_path):
    def read():
        return VlmEvalKit(tmp_path, name="mmbench", prompt=PROMPT, file="t.tsv").examples("test")

    with pytest.raises(ValueError, match="split='train': mmbench was published for evaluation only"):
        VlmEvalKit(tmp_path, name="mmbench", prompt=PROMPT, file="t.tsv").examples("train")
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        VlmEvalKit(tmp_path, name="x", prompt="?", file="t.tsv")
    with pytest.raises(ValueError, match="variant='round': must be one of vanilla, circular"):
        VlmEvalKit(tmp_path, name="x", prompt=PROMPT, file="t.tsv", variant="round")
    for change, message in (
        ({"answer": "D"}, "row with index 0: answer='D' must be one of the options' letters, A, B"),
        ({"answer": None}, r"row with index 0: answer='' must be one of .*can't be scored here: use its DEV"),
        ({"B": None}, "row with index 0: .*choices=.* must be at least two"),
    ):
        write(tmp_path, [rows_of(1)[0] | change])
        with pytest.raises(ValueError, match=message):
            read()
    frame = pd.DataFrame(rows_of(1)).drop(columns="answer")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="has no column answer"):
        read()
