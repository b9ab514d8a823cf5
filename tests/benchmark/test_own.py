"""Users' data sets: each format gives the same examples, splits keep images together, and bad tables are refused."""

import csv
import io
import json
import random

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.benchmark.metrics.vqa_accuracy import VqaAccuracy
from bridgelab.benchmark.own import Own
from bridgelab.benchmark.own_splits import groups_of

PICTURES = 10
# The last ones of pairs are what sentencepiece 0.2.3's nmt_nfkc, which T5's tokenizer applies, leaves of the first.
SPOKEN = (
    ("about  12\u00a0m²", "about 12 m2"),
    ("CO₂\u200b\nis ﬁne", "CO2 is fine"),
    ("cafe\u0301", "caf\u00e9"),
)
ROWS = [
    row
    for k in range(PICTURES)
    for row in (
        {"id": f"a{k}", "image": f"{k}.png", "question": "how\u00a0many, 'so' ?", "answer": SPOKEN[k % 3][0], "tags": {"type": "count", "hops": k % 2, "late": k > 4}},
        {"id": f"c{k}", "image": f"{k}.png", "question": "which {options} ?", "choices": ["red", "deep \tblue"], "answer": "deep  blue", "tags": {"type": "color", "hops": 0}},
        {"id": f"d{k}", "image": f"{k}.png", "caption": f"a thing — №{k}"},
        {"id": f"e{k}", "image": f"{k}.png", "caption": "a\nthing"},
    )
]  # fmt: skip


def png(color):
    held = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def root(tmp_path):
    """An empty data set: images without a table."""
    for k in range(PICTURES):
        (tmp_path / f"{k}.png").write_bytes(png((k, 0, 0)))
    return tmp_path


def jsonl(root, rows, name="table"):
    (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def table(root, rows, name="table"):
    (root / name).with_suffix(".csv").unlink(missing_ok=True)
    with (root / f"{name}.csv").open("w", newline="") as file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns, lineterminator="\r\n")
        writer.writeheader()
        for row in rows:
            cells = {k: "|".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in cells.items()})


def parquet(root, rows, name="table"):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    pq.write_table(
        pa.Table.from_pylist([{column: row.get(column) for column in columns} for row in rows]),
        root / f"{name}.parquet",
    )


def read(own):
    return {(split, kind): own.examples(split, kind) for split in own.splits for kind in own.kinds}


@pytest.mark.parametrize("write", [jsonl, table, parquet])
def test_every_format_gives_the_same_examples(root, write):
    write(root, ROWS)
    (path,) = root.glob("table.*")
    path.rename(root / path.name.upper())
    own = Own(root)
    examples = read(own)
    assert own.splits == ("train", "val", "test")
    shown = {split: {e.images for kind in own.kinds for e in examples[split, kind]} for split in own.splits}
    assert [len(images) for images in shown.values()] == [7, 1, 2]  # of ten images two, and of eight one
    assert not shown["train"] & shown["test"]
    by_id = {e.id: e for own_of in examples.values() for e in own_of}
    assert len([e for e in by_id.values() if e.kind != "caption"]) == 2 * PICTURES
    assert len(examples["train", "caption"]) == 14
    assert {len(e.answers) for split in ("val", "test") for e in examples[split, "caption"]} == {2}
    counted, chosen = by_id["a4"], by_id["c4"]
    assert counted.images == chosen.images == (str(root / "4.png"),)
    assert (counted.prompt, counted.answers, counted.tags) == (
        "how many, 'so' ?",
        ("CO2 is fine",),
        {"type": "count", "hops": 0, "late": "false"},
    )
    assert [by_id[f"a{k}"].answers for k in range(3)] == [(read,) for _, read in SPOKEN]
    # The question's own braces are text.
    assert chosen.prompt == "which {options} ? (A) red (B) deep blue"
    assert (chosen.answers, chosen.choices) == (("deep blue",), ("red", "deep blue"))
    assert "a thing" in {answer for e in by_id.values() for answer in e.answers if e.kind == "caption"}
    assert "made by image: test has 0.2 of all" in own.split_rule
    metrics = own.metrics()
    assert {kind: type(metric) for kind, metric in metrics.items()} == {
        "answer": Accuracy,
        "choice": Accuracy,
        "caption": CaptionMetric,
    }
    assert metrics["answer"].by == ("hops", "late", "type")


def test_splits_do_not_depend_on_the_order_of_rows(root):
    jsonl(root, ROWS)
    before = {split: {e.id for e in Own(root).examples(split, "answer")} for split in Own(root).splits}
    jsonl(root, random.Random(1).sample(ROWS, len(ROWS)))
    assert before == {split: {e.id for e in Own(root).examples(split, "answer")} for split in before}
    others = [{e.id for e in Own(root, seed=seed).examples("test", "answer")} for seed in range(1, 6)]
    assert any(other != before["test"] for other in others)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), min_size=1, max_size=8))
def test_groups_are_the_connected_rows(rows):
    """Against merging sets until nothing changes."""
    sets = [set(row) for row in rows]
    for _ in rows:
        for one in sets:
            for other in sets:
                if one & other:
                    one |= other
                    other |= one
    assert groups_of(rows) == [min(one) for one in sets]


def test_groups_stay_together_and_count_as_one_image(root):
    rows = [row | {"group": int(row["image"][0]) // 2} for row in ROWS if "question" in row]
    jsonl(root, rows)
    own = Own(root)
    of_split = [{e.tags["group"] for e in own.examples(split, "answer")} for split in own.splits]
    assert sum(map(len, of_split)) == 5
    assert "by image and group" in own.split_rule
    assert own.metrics()["answer"].by == ("hops", "late", "type")


def test_splits_may_be_named_by_a_column_or_by_the_files(root):
    rows = [row for row in ROWS if "answer" in row]
    names = ["training"] * 10 + ["test"] * 6 + ["dev"] * 4
    jsonl(root, [row | {"split": name} for row, name in zip(rows, names, strict=True)])
    own = Own(root)
    assert [len(own.examples(split, "answer")) for split in ("train", "val", "test")] == [5, 2, 3]
    assert own.split_rule == "named by the table"
    (root / "table.jsonl").unlink()
    jsonl(root, rows[:12], "train")
    table(root, rows[12:], "test")
    own = Own(root)
    assert [len(own.examples(split, "answer")) for split in own.splits] == [5, 1, 4]
    assert own.split_rule == "named by the table, but val made by image: 0.1 of train, seed 0"
    (root / "train.jsonl").unlink()
    assert Own(root).splits == ("test",)
    with pytest.raises(ValueError, match=r"split='train': the table of own has test alone\. Name rows train"):
        Own(root).examples("train", "answer")
    # With images of test.csv.
    jsonl(root, [row | {"id": f"{row['id']} again"} for row in rows[3:]], "train")
    with pytest.raises(
        ValueError, match=r"in two splits.*or set benchmark\.columns\.split=null to have splits"
    ):
        Own(root).examples("train")
    (root / "test.csv").unlink()
    with pytest.raises(
        ValueError, match=r"none is test.*or set benchmark\.columns\.split=null to have splits"
    ):
        Own(root).examples("train")
    own = Own(root, columns={"split": None})
    assert (own.splits, "made by image" in own.split_rule) == (("train", "val", "test"), True)


def test_columns_are_mapped(root):
    rows = [
        {"Bild": f"{k}.png", "Frage": "was ?", "label": k % 2, "Raum": f"room {k % 2}", "level": k % 4}
        for k in range(PICTURES)
    ]
    table(root, rows)
    columns = {"image": "Bild", "question": "Frage", "answer": "label"}
    own = Own(root, columns=columns, tags=["Raum", "level"], prompt="Q: {question}")
    example = own.examples("train")[0]
    number = int(example.images[0][-5])
    assert example.prompt == "Q: was ?"
    assert example.answers == (str(number % 2),)
    assert example.id == f"table-{number + 2}"  # its line
    # A CSV has no types, so whole numbers are found; the only tag of text breaks the verdict down.
    room = f"room {number % 2}"
    assert example.tags == {"type": room, "Raum": room, "level": number % 4}
    assert not own.remarks
    own = Own(root, columns=columns, tags=["Raum", "level"], breakdown="level")
    assert own.examples("train")[0].tags == {"type": str(number % 4), "Raum": room, "level": number % 4}
    own = Own(root, columns=columns)
    assert own.remarks == [
        "table.csv has columns that are not read: Raum, level",
        "10 of 10 questions are in no cell of the verdict, since they lack the tag that breaks it down. Name one in "
        "benchmark.breakdown (there is none yet)",
    ]


def test_several_answers_and_images(root):
    answers = ["red", "blue", "red", "red"]
    pair = ["0.png", "./1.png"]
    rows = [
        {"images": [f"{k}.png", f"{(k + 5) % 10}.png"], "question": "?", "answers": answers if k == 2 else [str(k)] * 4}
        for k in range(5)
    ]  # fmt: skip
    rows[0] |= {"images": pair, "answers": ["blue", "blue", "blue", "green"]}
    jsonl(root, rows)
    own = Own(root, variant="current")
    examples = [e for split in own.splits for e in own.examples(split)]
    assert sorted(examples, key=lambda e: e.id)[0].images == (str(root / "0.png"), str(root / "1.png"))
    # 0–1, 1–6, 2–7, 3–8, 4–9: the first two are one group.
    of_split = {e.id: split for split in own.splits for e in own.examples(split)}
    assert of_split["table-1"] == of_split["table-2"]
    metric = own.metrics()["answer"]
    assert isinstance(metric, VqaAccuracy)
    three_of_four = next(e for e in examples if e.id == "table-3")
    assert three_of_four.answers == ("red", "red", "red", "blue")
    assert metric.score("red", three_of_four) == pytest.approx((3 * 2 / 3 + 1) / 4)
    assert Own(root).metrics()["answer"].score("blue", three_of_four) == 1


def test_the_right_choice_by_text_letter_or_index(root):
    common = {"question": "?", "choices": ["red", "blue", "A"]}
    rows = [
        {"answer": "blue"}, {"answer": "B"}, {"answer_index": 1}, {"answer": "A"}, {"answer": "C"}, {"answer": "red"},
        *({"answer": answer, "answer_index": 1} for answer in ("blue", "B", 1)), {"answer": "A", "answer_index": 2},
    ]  # fmt: skip
    jsonl(root, [common | row | {"image": f"{k}.png"} for k, row in enumerate(rows)])
    own = Own(root)
    right = {e.id: e.answers[0] for split in own.splits for e in own.examples(split, "choice")}
    assert [right[f"table-{k}"] for k in range(1, 7)] == ["blue", "blue", "blue", "A", "A", "red"]
    assert [right[f"table-{k}"] for k in range(7, 11)] == ["blue", "blue", "blue", "A"]


@pytest.mark.parametrize("form", ["parquet", "saved", "saved splits"])
def test_a_folder_of_the_datasets_library(root, form):
    rows = [
        {"image": {"bytes": png((k, 0, 0)), "path": None}, "question": "?", "answer": str(k % 2)}
        for k in range(10)
    ]
    features = datasets.Features(
        image=datasets.Image(), question=datasets.Value("string"), answer=datasets.Value("string")
    )
    data = datasets.Dataset.from_list(rows, features=features)
    source = root / "source"
    if form == "parquet":
        (source / "data").mkdir(parents=True)
        data.to_parquet(source / "data" / "train-00000-of-00001.parquet")
    elif form == "saved":
        data.save_to_disk(source)
    else:
        named = datasets.DatasetDict(train=data.select(range(7)), validation=data.select(range(7, 10)))
        named.save_to_disk(source)
    split = {"val": None, "test": "validation"} if form == "saved splits" else {}
    if split:
        with pytest.raises(
            ValueError, match=r"has test alone.*or set benchmark\.test=null to have splits made"
        ):
            Own(root / "kept", hub=str(source), **split, train=None).examples("train")
    own = Own(root / "kept", hub=str(source), **split)
    examples = {split: own.examples(split) for split in own.splits}
    assert {split: len(of_split) for split, of_split in examples.items()} == (
        {"train": 6, "val": 1, "test": 3} if split else {"train": 7, "val": 1, "test": 2}
    )
    for e in (e for of_split in examples.values() for e in of_split):
        with Image.open(e.images[0]) as image:
            assert str(image.getpixel((0, 0))[0] % 2) == e.answers[0]


@pytest.mark.parametrize("form", ["a list, parquet", "a list, saved", "a column each"])
def test_several_images_of_the_datasets_library(root, form):
    pairs = [[{"bytes": png((k, side, 0)), "path": None} for side in (0, 1)] for k in range(10)]
    one = datasets.Image()
    texts = dict.fromkeys(("question", "answer"), datasets.Value("string"))
    if form == "a column each":
        columns, features = {"images": ["left", "right"]}, {"left": one, "right": one}
        images = [dict(zip(features, pair, strict=True)) for pair in pairs]
    else:
        columns, features = None, {"images": [one]}
        images = [{"images": pair} for pair in pairs]
    rows = [shown | {"question": "?", "answer": str(k % 2)} for k, shown in enumerate(images)]
    data = datasets.Dataset.from_list(rows, features=datasets.Features(features | texts))
    source = root / "source"
    if form == "a list, saved":
        data.save_to_disk(source)
    else:
        source.mkdir()
        data.to_parquet(source / "train.parquet")
    own = Own(root / "kept", hub=str(source), test=None, columns=columns)
    examples = [e for split in own.splits for e in own.examples(split)]
    assert len(examples) == 10
    assert not own.remarks[:-1]  # the last says that there are no tags
    for e in examples:
        pixels = [Image.open(path).getpixel((0, 0)) for path in e.images]
        assert [side for _, side, _ in pixels] == [0, 1]
        assert all(str(k % 2) == e.answers[0] for k, _, _ in pixels)
    again = Own(root / "kept", hub=str(source), test=None, columns=columns)
    assert [e for split in again.splits for e in again.examples(split)] == examples
    with pytest.raises(ValueError, match=r"train has no column picture, but .*question, answer"):
        Own(root / "kept", hub=str(source), columns={"images": ["picture"]}, test=None).examples("train")
    columns = {"image": "picture", "images": "pictures"}
    with pytest.raises(ValueError, match=r"train has no column picture or pictures, but"):
        Own(root / "kept", hub=str(source), columns=columns, test=None).examples("train")


@pytest.mark.parametrize("write", [jsonl, table, parquet])
def test_images_in_a_column_each(root, write):
    rows = [
        {"left": f"{k}.png", "right": f"{9 - k}.png", "question": "?", "answer": str(k % 2)}
        for k in range(PICTURES)
    ]
    write(root, rows)
    own = Own(root, columns={"images": ["left", "right"]})
    for e in (e for split in own.splits for e in own.examples(split)):
        left, right = (int(path.rpartition("/")[2].removesuffix(".png")) for path in e.images)
        assert (left + right, str(left % 2)) == (9, e.answers[0])
    assert not own.remarks[:-1]
    with pytest.raises(
        ValueError, match=r"no column 'rihgt'.*Did you mean 'right'\? .*benchmark\.columns\.images"
    ):
        Own(root, columns={"images": ["left", "rihgt"]}).examples("train")
    write(root, [row | {"right": row["right"] if k else None} for k, row in enumerate(rows)])
    with pytest.raises(ValueError, match=r"left, right=\S+ must be given in each row"):
        Own(root, columns={"images": ["left", "right"]}).examples("train")


@pytest.mark.parametrize("write", [jsonl, table])
def test_choices_and_answers_in_a_column_each(root, write):
    rows = [
        {"A": "red", "B": "b", "C": None, "answer": "B"},
        {"A": "red", "B": "b", "C": "blue", "answer": "C"},
        {"A": " ", "one": "red", "two": "blue"},
        {"one": None, "two": "blue"},
    ]
    common = {"image": "0.png", "question": "?", "split": "test"}
    write(root, [common | {"id": k} | row for k, row in enumerate(rows)])
    columns = {"choices": ["A", "B", "C"], "answers": ["one", "two"]}
    own = Own(root, columns=columns)
    asked, chosen = own.examples("test", "answer"), own.examples("test", "choice")
    assert [e.answers for e in asked] == [("red", "blue"), ("blue",)]
    assert [(e.choices, e.answers[0]) for e in chosen] == [
        (("red", "b"), "b"),
        (("red", "b", "blue"), "blue"),
    ]
    assert not own.remarks[:-1]
    write(root, [common | rows[1] | {"B": None}])
    with pytest.raises(ValueError, match=r"A, B, C=\S+ must be given in each row"):
        Own(root, columns={"choices": ["A", "B", "C"]}).examples("test")
    with pytest.raises(
        ValueError, match=r"question=\['a', 'b'\]: only images, answers, choices may stand in"
    ):
        Own(root, columns={"question": ["a", "b"]})


@pytest.mark.parametrize(("most", "kind"), [(2**63 - 1, int), (2**63, str), (10**59, str)])
def test_a_tag_in_a_csv_stays_text_if_its_numbers_fit_no_column(root, most, kind):
    """Barcodes, for example: they ended a run when its answers were written."""
    rows = [QUESTION | {"image": f"{k}.png", "answer": k % 2, "case": most - k % 2} for k in range(10)]
    table(root, [row | {"case": most} if kind is int else row for row in rows])
    examples = [one for split in ("train", "val", "test") for one in Own(root, tags=["case"]).examples(split)]
    assert {type(one.tags["case"]) for one in examples} == {kind}


def test_a_byte_order_mark_and_windows_line_ends_are_fine(root):
    rows = [{"image": f"{k}.png", "question": "é ?", "answer": k % 2} for k in range(10)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (root / "table.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["", *lines, ""]).encode())
    one = [e for split in ("train", "val", "test") for e in Own(root).examples(split)]
    (root / "table.jsonl").unlink()
    cells = ["image,question,answer", *(f"{row['image']},é ?,{row['answer']}" for row in rows), ""]
    (root / "table.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(cells).encode())
    other = [e for split in ("train", "val", "test") for e in Own(root).examples(split)]
    assert one == other
    assert one[0].prompt == "é ?"


QUESTION = {"image": "0.png", "question": "?", "answer": "yes"}
CHOICE = {"image": "0.png", "question": "?", "choices": ["red", "blue"], "answer": "red"}
CAPTION = {"image": "0.png", "caption": "red"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"imgae": "0.png", "question": "?", "answer": "yes"}, r"no column 'image', but 'imgae', .*Did you mean 'imgae'\? Rename the column, or name another one in benchmark\.columns\.image"),
        ({"image": "0.png", "Question": "?", "answer": "yes"}, r"no column 'question', .*Did you mean 'Question'\?"),
        ({"image": "0.png", "question": "?", "answr": "yes"}, r"no column 'answer', .*Did you mean 'answr'\?"),
        ({"image": "0.png"}, r"no column 'question', but 'image': a row needs an image, and a question"),
        (QUESTION | {"image": None}, r"table\.jsonl, line 11: image=None must be given in each row\. Fill it in"),
        (QUESTION | {"image": "/etc/passwd"}, r"image='/etc/passwd' must be the path of a file below /.*set benchmark\.images"),
        (QUESTION | {"image": "a/../../b.png"}, r"must be the path of a file below"),
        (QUESTION | {"image": "https://a.b/c.png"}, r"must be the path of a file below"),
        (QUESTION | {"image": "a\\b.png"}, r"must be the path of a file below .*with / between folders"),
        (QUESTION | {"images": ["1.png"]}, r"image='0.png' stands beside images\."),
        (QUESTION | {"question": " "}, r"question=None must be given in each row"),
        (QUESTION | {"answer": True}, r"answer=True must be text or a whole number, and is of type bool\. Write it as text"),
        (QUESTION | {"answer": 0.5}, r"answer=0\.5 must be text or a whole number, and is of type float"),
        (QUESTION | {"answer": ["yes"]}, r"answer=\['yes'\] must be text .* of type list"),
        (QUESTION | {"answer": "NaN"}, r"answer='NaN' is NaN, a missing value\. Fill it in, or leave the row out"),
        (QUESTION | {"answers": ["yes", "no"]}, r"answer='yes' stands beside answers.*set benchmark\.columns\.answers=null"),
        ({"image": "0.png", "question": "?", "answers": "yes"}, r"answers='yes' must be a list of texts\. Write a list"),
        ({"image": "0.png", "question": "?", "answers": []}, r"answers=\[\] must be a list of texts"),
        (QUESTION | {"caption": "red"}, r"caption='red' stands beside question"),
        (QUESTION | {"split": "tset"}, r"split='tset' must be train, val or test"),
        (QUESTION | {"id": 1.5}, r"id=1\.5 must be text or a whole number"),
        (QUESTION | {"tags": ["a"]}, r"tags=\['a'\] must be an object of names and values, or one text"),
        (QUESTION | {"tags": {"a/b": 1}}, r"tags='a/b' is the name of a tag, which holds letters"),
        (QUESTION | {"tags": {"group": 1}}, r"tags='group' is no tag: it is the column of groups"),
        (QUESTION | {"tags": {"hops": 1.5}}, r"tags=1\.5 is the tag hops, which must be a whole number"),
        (QUESTION | {"tags": {"case": 2**63}}, r"tags=9223372036854775808 is the tag case, .* more than 64 bits fits no column\. Write it as text"),
        (QUESTION | {"tags": {"type": "x" * 61}}, r"is the tag type, .*text of at most 60 characters"),
        (CHOICE | {"choices": ["red", "red"]}, r"choices=\('red', 'red'\) repeat 'red', so that the right one is not known\. Make them differ"),
        (CHOICE | {"choices": ["red"]}, r"choices=\('red',\) must be 2 to 26"),
        (CHOICE | {"answer": "green"}, r"answer='green' must be one of its choices, \('red', 'blue'\), or its letter from A to B.*benchmark\.columns\.answer_index"),
        (CHOICE | {"answer": "C"}, r"answer='C' must be one of its choices"),
        (CHOICE | {"answer_index": 2}, r"answer_index=2 must be a whole number from 0 to 1\. Count the choices from 0"),
        (CHOICE | {"answer_index": 1.0}, r"answer_index=1\.0 must be a whole number"),
        (CHOICE | {"answer_index": True}, r"answer_index=True must be a whole number"),
        (CHOICE | {"answer": "red", "answer_index": 1}, r"answer_index=1 is 'blue' of \('red', 'blue'\), and its answer is 'red'\. Count the choices from 0, or set benchmark\.columns\.answer_index=null"),
        (CHOICE | {"answer": "A", "answer_index": 1}, r"answer_index=1 is 'blue' .* and its answer is 'A'"),
        (CHOICE | {"answer": "green", "answer_index": 1}, r"answer_index=1 is 'blue' .* and its answer is 'green'"),
        (CAPTION | {"caption": 1.5}, r"caption=1\.5 must be text"),
    ],
)  # fmt: skip
def test_a_malformed_row_is_refused(root, row, message):
    """One row among ten good ones of its kind; a missing column is missing in all."""
    lacks = "no column" in message
    good = [
        {**(CAPTION if "caption" in row else CHOICE if "choices" in row else QUESTION), "image": f"{k}.png"}
        for k in range(10)
    ]
    jsonl(root, [row] if lacks else [*good, row])
    with pytest.raises(ValueError, match=message):
        Own(root).examples("train")


def test_malformed_rows_of_all_tables_are_listed_up_to_a_number(root):
    for name in ("train", "test"):
        jsonl(root, [QUESTION | {"answer": None if k > 3 else "yes"} for k in range(10)], name)
    with pytest.raises(ValueError, match="answer=None must be given in each row") as raised:
        Own(root).examples("train")
    *listed, last = str(raised.value).splitlines()
    places = [line.split(": ")[0] for line in listed]
    assert places[0] == f"{root}/test.jsonl, line 5"
    assert places[-1] == f"{root}/train.jsonl, line 8"
    assert len(places) == 10
    assert last == "2 more of 20 rows are malformed."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: {"answer": "yes"}, r"table\.jsonl, split train: all questions have the answer 'yes', which a bridge gives without"),
        (lambda k: {"split": "val" if k else "train"}, r"split is train or val in all rows, and none is test, .*Name rows test, or set benchmark\.columns\.split=null"),
        (lambda k: {"split": "test"} if k else {}, r"1 of 10 rows have no split, such as line 1: all rows name one, or none does"),
        (lambda k: {"split": "test" if k else "train", "image": "0.png"}, r"1 images or groups are in two splits, such as .*/0\.png"),
        (lambda k: {"split": "test" if k else "train"}, r"split train: its rows are 1 groups by image, and splits take at least 2"),
        (lambda k: {"image": f"{k % 2}.png"}, r"its rows are 2 groups by image, and splits take at least 3"),
        (lambda k: {"group": "one"}, r"its rows are 1 groups by image and group, .*correct the column of groups"),
        (lambda k: {"id": k // 9}, r"id '0' stands in 9 rows, such as line 1 and line 2, and must be unique.*benchmark\.columns\.id=null"),
        (lambda k: {"tags": {"hops": 1 if k else "one"}}, r"tag hops is 1 in line 2 and 'one' in line 1, which are of two types"),
        (lambda k: {"image": None, "images": ["0.png", "1.png"]} if k else {}, r"line 1 has 1 images and line 2 2: all rows of a data set need the same number"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_together_are_refused(root, change, message):
    jsonl(root, [QUESTION | {"image": f"{k}.png", "answer": str(k % 2)} | change(k) for k in range(10)])
    with pytest.raises(ValueError, match=message):
        Own(root).examples("train")


def test_bad_choices_in_the_config(root):
    jsonl(root, [QUESTION | {"image": f"{k}.png", "answer": k % 2, "tags": {"type": "a"}} for k in range(10)])
    with pytest.raises(ValueError, match="columns has the field='imagge': must be one of id, image,"):
        Own(root, columns={"imagge": "x"})
    with pytest.raises(ValueError, match=r"no column 'picture'.*another one in benchmark\.columns\.image\."):
        Own(root, columns={"image": "picture"}).examples("train")
    with pytest.raises(ValueError, match=r"no column 'hops'.*another one in benchmark\.tags\."):
        Own(root, tags=["hops"]).examples("train")
    with pytest.raises(
        ValueError, match=r"breakdown=typ: must be one of the tags of .*Did you mean 'type'\?"
    ):
        Own(root, breakdown="typ").examples("train")
    with pytest.raises(ValueError, match="variant='vqa': must be one of plain, current, older, textvqa"):
        Own(root, variant="vqa")
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        Own(root, prompt="what ?")
    with pytest.raises(ValueError, match=r"val_share=1: must lie between 0 and 1"):
        Own(root, val_share=1)
    with pytest.raises(ValueError, match="split='dev': must be one of train, val, test"):
        Own(root).examples("dev")
    with pytest.raises(ValueError, match="kind='answers': must be one of answer, choice, caption"):
        Own(root).examples("train", "answers")
    jsonl(root, [QUESTION], "other")
    with pytest.raises(
        FileNotFoundError, match=r"has 2 tables \(other\.jsonl, table\.jsonl\).*name it in benchmark\.file"
    ):
        Own(root).examples("train")
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl is missing.*Set benchmark\.file"):
        Own(root, file="none.jsonl").examples("train")
    with pytest.raises(FileNotFoundError, match=r"has 0 tables \(no file\): expected is one table"):
        Own(root / "empty").examples("train") if (root / "empty").mkdir() is None else None
    with pytest.raises(FileNotFoundError, match=r"nowhere is missing.*Set benchmark\.root"):
        Own(root / "nowhere").examples("train")
    jsonl(root, [], "table")
    with pytest.raises(ValueError, match="no column"):
        Own(root, file="table.jsonl").examples("train")
