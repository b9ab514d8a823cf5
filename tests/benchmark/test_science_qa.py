"""ScienceQA's reader on questions in the layout that the authors' code reads, and their table's columns."""

import json

import pytest

from bridgelab.benchmark.science_qa import ScienceQa

PROBLEM = {
    "question": "Which is the {hint} of the map?", "choices": ["north", "south"], "answer": 1, "hint": "Look at the map.",
    "image": "image.png", "grade": "grade6", "subject": "social science", "topic": "geography", "split": "test",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    problems = {
        "4": PROBLEM,
        "2": PROBLEM | {"hint": "", "subject": "natural science", "grade": "grade7", "answer": 0},
        "9": PROBLEM | {"image": None, "hint": "", "subject": "language science"},
        "7": PROBLEM | {"image": None},
        "1": PROBLEM | {"split": "train"},
    }
    write(tmp_path, problems)
    (tmp_path / "pid_splits.json").write_text(
        json.dumps({"train": ["1"], "val": ["1"], "test": ["4", "2", "9", "7"]})
    )
    for split, number in (("test", "4"), ("test", "2"), ("train", "1")):
        (tmp_path / "images" / split / number).mkdir(parents=True)
        (tmp_path / "images" / split / number / "image.png").touch()
    (tmp_path / "blank.png").touch()
    return tmp_path


def write(root, problems):
    (root / "problems.json").write_text(json.dumps(problems))


def test_a_question_with_a_picture(root):
    first, second = ScienceQa(root, prompt="{question} | {hint} | {options}").examples("test")
    assert first.prompt == "Which is the {hint} of the map? | Look at the map. | (A) north (B) south"
    assert second.prompt == "Which is the {hint} of the map? | N/A | (A) north (B) south"
    assert (first.choices, first.answers, second.answers) == (("north", "south"), ("south",), ("north",))
    assert first.images == (str(root / "images" / "test" / "4" / "image.png"),)
    assert first.tags == {
        "type": "social science", "topic": "geography", "hint": "yes", "picture": "yes", "context": "text and image", "grades": "1-6",
    }  # fmt: skip
    (only,) = ScienceQa(root).examples("train")
    assert only.id == "train-1"


def test_the_columns_of_the_authors_table(root):
    """Their evaluate_acc.py: TXT and IMG overlap, NO is neither."""
    science = ScienceQa(root, blank="blank.png")
    examples = science.examples("test")
    assert [e.images[0].rpartition("/")[2] for e in examples] == [
        "image.png",
        "image.png",
        "blank.png",
        "blank.png",
    ]
    metric = science.metrics()["choice"]
    metric.update(["south"] * 4, examples)
    values = metric.compute()
    assert values["accuracy"] == 0.75
    columns = {
        "type=social science": 1, "type=natural science": 0, "type=language science": 1, "hint=yes": 1, "picture=yes": 0.5,
        "context=none": 1, "grades=1-6": 1, "grades=7-12": 0,
    }  # fmt: skip
    assert {name: values[f"accuracy/{name}"] for name in columns} == columns


def test_options_of_the_same_text_are_distinguished_by_their_letters(root):
    """The official code compares places: of two equal options one is wrong."""
    write(root, {"1": PROBLEM | {"choices": ["a", "b", "a"], "answer": 2}})
    science = ScienceQa(root)
    (only,) = science.examples("train")
    assert (only.choices, only.answers) == (("(A) a", "(B) b", "(C) a"), ("(C) a",))
    assert [science.metrics()["choice"].score(choice, only) for choice in only.choices] == [0, 0, 1]
    write(root, {"1": PROBLEM | {"choices": ["a", "a"], "answer": 0}})
    assert science.examples("train")[0].choices == ("(A) a", "(B) a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": "['north', 'south']"}, "must be a list"),
        ({"choices": ["north"], "answer": 0}, "at least two that differ"),
        ({"answer": 2}, "answer=2 must be an index of 2 choices"),
        ({"answer": "south"}, "answer='south' must be an index"),
        ({"grade": None}, "AttributeError"),
        ({"grade": "kindergarten"}, "invalid literal"),
        ({"subject": ["a"]}, "must be str or int"),
    ],
)
def test_a_malformed_question(root, change, message):
    write(root, {"1": PROBLEM | change})
    with pytest.raises(ValueError, match=f"question 1 is malformed .*{message}.*Get the file again"):
        ScienceQa(root).examples("train")


def test_bad_input(root):
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        ScienceQa(root, prompt="{options}")
    with pytest.raises(ValueError, match="split='minitest': must be one of train, val, test"):
        ScienceQa(root).examples("minitest")
    (root / "pid_splits.json").write_text(json.dumps({"train": "['1']"}))
    with pytest.raises(ValueError, match=r"train=\"\['1'\]\" must be a list of ids"):
        ScienceQa(root).examples("train")
    (root / "pid_splits.json").write_text(json.dumps({"train": ["404"]}))
    with pytest.raises(ValueError, match=r"question 404 is malformed \(KeyError"):
        ScienceQa(root).examples("train")
    (root / "problems.json").write_text("[]")
    with pytest.raises(ValueError, match=r"problems\.json can't be read \(it is a list\)"):
        ScienceQa(root).examples("train")
    (root / "problems.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"problems\.json is missing\. Expected layout: problems\.json"
    ):
        ScienceQa(root).examples("train")
