"""`bridgelab check-data`: what it says of data that are right, and of each thing that is wrong with others."""

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.cli.main import main

COLORS = ("red", "green", "blue")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data set of thirty images of three colours, in the folder `data` below the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for k in range(30):
        Image.new("RGB", (16, 8 + k % 2), (k, 0, 99)).save(tmp_path / "data" / f"{k}.png")
    write(tmp_path / "data", ROWS)
    return tmp_path / "data"


ROWS = [
    {"image": f"{k}.png", "question": "what color is there ?", "answer": COLORS[k % 3], "tags": "color"}
    for k in range(30)
]


def write(root, rows):
    (root / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def check(capsys, *args, status=0):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["check-data", *args]) == status
    told = capsys.readouterr()
    return told.out.splitlines(), told.err


def test_it_says_what_there_is(root, capsys):
    lines, _ = check(capsys, "data")
    assert lines[:2] == [
        "benchmark   own, Own",
        "splits      train, val, test: made by image: test has 0.2 of all, val 0.1 of the others, seed 0",
    ]
    assert [line for line in lines if " of kind " in line] == [
        "train       22 of kind answer about 22 images",
        "val         2 of kind answer about 2 images",
        "test        6 of kind answer about 6 images",
    ]
    assert "            words of a prompt: 5" in lines
    assert "            type: all color" in lines
    assert any(line.startswith("            answers: 3 different: ") for line in lines)
    assert any(line.startswith("            majority floor: ") for line in lines)
    assert "images      30, width × height in pixels: 16 × 8 50 %, 16 × 9 50 %" in lines
    notes = [line for line in lines if line.startswith("note")]
    assert notes == [
        "note        1 type has fewer than 30 answer questions or images in test, too few to tell bridges apart: color (6 questions, 6 "
        "images)."
    ]
    assert lines[-1].startswith("nothing is wrong. Next: bridgelab doctor, then bridgelab train")
    with Image.open("own_examples.png") as picture:
        assert picture.size == (1890, 1320)


def test_the_floor_is_that_of_questions_that_count(root, capsys, monkeypatch):
    """GQA's unbalanced ones, for example, do not. One answer is the most frequent: the floor is all of it, and nothing of others."""
    floors = []
    for color in COLORS:
        monkeypatch.setattr(
            Accuracy, "counts", lambda self, example, color=color: example.answers == (color,)
        )
        lines, _ = check(capsys, "data")
        floors.append([line.split()[2] for line in lines if "majority floor" in line][-1])
    assert sorted(floors) == ["0.0", "0.0", "100.0"]


def test_the_picture_may_lie_elsewhere_and_shows_any_script(root, capsys):
    write(root, [row | {"question": f"它是什么颜色 $x$ {row['image']} ?"} for row in ROWS])
    lines, _ = check(capsys, "data", "--picture", "sheet.png", "benchmark.name=mine")
    assert "examples    sheet.png" in lines
    assert "benchmark   mine, Own" in lines
    assert any("training prompts are unknown to that T5, and read as one" in line for line in lines)
    with Image.open("sheet.png") as picture:
        assert picture.size == (1890, 1320)
    assert "can't be written" in check(capsys, "data", "--picture", "no/where.png", status=2)[1]


def test_every_problem_is_said_and_ends_with_status_2(root, capsys):
    for k in range(5):
        (root / f"{k}.png").unlink()
    (root / "5.png").write_bytes(b"broken")
    shutil.copy(root / "6.png", root / "7.png")
    splits = {6: "train", 7: "test"}
    write(root, [row | {"split": splits.get(k, ("train", "test")[k % 2])} for k, row in enumerate(ROWS)])
    lines, error = check(capsys, "data", status=2)
    wrong = [line.removeprefix("wrong       ") for line in lines if line.startswith("wrong")]
    data = root.resolve()
    assert wrong[0].startswith("5 of 30 images are missing: ")
    assert wrong[0].count(str(data)) == 3
    assert ", …. Each example needs its images. Put them there or correct their names" in wrong[0]
    assert wrong[1].startswith(f"1 of 30 images can't be read: {data}/5.png. ")
    assert wrong[2].startswith("1 images of train are in test too, such as ")
    assert f"{data}/6.png and {data}/7.png: a bridge may not be tested on images" in wrong[2]
    assert len(wrong) == 3
    assert "3 things are wrong, as said above" in error


def test_images_in_two_splits_as_published_are_no_fault_of_the_user(root, capsys):
    """VSR's random split shows 978 images in two splits."""
    (root / "images").symlink_to(root)
    (root / "splits" / "random").mkdir(parents=True)
    for split, images in {"train": (1, 2), "dev": (3, 4), "test": (2, 5)}.items():
        lines = [
            {"image": f"{k}.png", "caption": "It is red.", "label": k % 2, "relation": "on"} for k in images
        ]
        (root / "splits" / "random" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    lines, _ = check(capsys, "data", "benchmark=vsr")
    (note,) = [line for line in lines if "in test too" in line]
    assert note.startswith("note        1 images of train are in test too, such as ")
    assert note.endswith("that it was trained on. The benchmark was published so.")


def test_every_malformed_row_is_listed_and_the_images_of_the_others_are_looked_at(root, capsys):
    for k in range(30):
        Image.new("RGB", (96, 96), (k, 0, 0)).save(root / f"{k}.png")
    (root / "4.png").unlink()
    rows = [dict(row) for row in ROWS]
    rows[2] = {"img" if name == "image" else name: value for name, value in rows[2].items()}
    rows[6] = {name: value for name, value in rows[6].items() if name != "answer"}
    rows[9]["answer"] = None
    rows[11]["image"] = "\x1b[2J.png"
    write(root, rows)
    lines, error = check(capsys, "data", status=2)
    assert lines[:2] == ["benchmark   own, Own", "images      25, width × height in pixels: all 96 × 96"]
    table = root.resolve() / "table.jsonl"
    assert lines[2:] == [
        f"wrong       {table}, line 3: has no 'image', but 'img', 'question', 'answer', 'tags'. Rename 'img', or set "
        "benchmark.columns.image=img if all rows have it.",
        f"wrong       {table}, line 7: has no 'answer', but 'image', 'question', 'tags'. Add it, or leave the row out.",
        f"wrong       {table}, line 10: answer=None must be given in each row. Fill it in, or leave the row out.",
        f"wrong       2 of 27 images are missing: {root.resolve()}/4.png, {root.resolve()}/\N{REPLACEMENT CHARACTER}[2J.png. Each example needs its images. Put them there or correct "
        "their names, or leave those examples out by data.on_error=skip.",
    ]
    assert "4 things are wrong, as said above" in error
    assert not (root.parent / "own_examples.png").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["dtaa"], "there is no folder dtaa. Did you mean 'data'?"),
        (["data", "."], "data and .: one folder is checked at a time"),
        (["data", "benchmark.variant=current"], "test, answer: 6 of 6 questions have fewer than 4 answers"),
        (["data", "benchmark.columns.image=picture"], "has no column 'picture', but 'image', 'question', 'answer', 'tags'"),
        (["data", "benchmark.columns.imgae=picture"], "benchmark.columns.imgae"),
        (["data", "benchmark.test_share=2"], "benchmark.test_share=2"),
        (["benchmark=own", "benchmark.root=."], "has 0 tables"),
        (["data", "benchmark=own_class", "benchmark._target_=no_module.Mine"], "there is no module no_module. Name a class of a file"),
        (["data", "benchmark=own_class", "benchmark._target_=json.JSONDecoder"], "json.JSONDecoder may not be built: benchmark takes a Benchmark"),
    ],
)  # fmt: skip
def test_bad_input(root, capsys, args, message):
    lines, error = check(capsys, *args, status=2)
    assert message in "\n".join([*lines, error])


def test_remarks_on_what_may_not_be_meant(root, capsys):
    rows = [
        row | {"answer": COLORS[k == 3], "tags": {"scene": f"s{k}"}, "note": "x", "split": "test"}
        for k, row in enumerate(ROWS)
    ]
    for k, answer in enumerate(("red", "red", "red", "blue"), start=30):
        Image.fromarray(np.full((k, 9), 4095, np.uint16)).save(root / f"{k}.png")  # 12 bits
        rows.append({"image": f"{k}.png", "question": "?", "answer": answer, "split": "train"})
    write(root, rows)
    lines, _ = check(capsys, "data")
    notes = "\n".join(line for line in lines if line.startswith("note"))
    assert "note        table.jsonl has columns that are not read: note." in notes
    assert "note        4 of 34 images have no pixel above 15 of 255, such as " in notes
    assert "scale pixels of fewer bits, such as 0 to 4095, to 0 to 65535." in notes
    assert "tag scene has 30 values in test, and the more there are, the less each can show." in notes
    assert "30 types have fewer than 30 answer questions or images in test" in notes
    assert "4 of 34 questions are in no cell of the verdict" in notes
    assert "the most frequent training answer is right for 96.7 % of test: bridges can hardly differ" in notes


@pytest.mark.parametrize("typed", [True, False])
def test_groups_count_as_one_image_and_may_be_too_few(root, capsys, typed):
    rows = [row if typed else row | {"tags": None} for row in ROWS]
    write(root, [row | {"split": "test"} for row in rows])
    assert not any("too few" in line for line in check(capsys, "data")[0])
    write(root, [row | {"split": "test", "group": k % 4} for k, row in enumerate(rows)])
    (note,) = [line for line in check(capsys, "data")[0] if "too few" in line]
    assert "1 type has fewer than 30 answer questions or groups in test" in note
    assert note.endswith(f": {'color' if typed else 'all'} (30 questions, 4 groups).")
