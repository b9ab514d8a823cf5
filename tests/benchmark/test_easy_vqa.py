"""easy-VQA's reader on the whole release, and on small files in its layout."""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from bridgelab.benchmark.easy_vqa import EasyVqa

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
DATA = SHARED / "easy-VQA" / "easy_vqa" / "data"


@pytest.fixture(scope="module")
def splits():
    if not DATA.is_dir():
        pytest.skip(f"{DATA} (easy-VQA) is not here: set BRIDGELAB_SHARED_DATA")
    easy = EasyVqa(DATA)
    return {split: easy.examples(split) for split in easy.splits}


def test_the_release(splits):
    assert len(splits["train"]) + len(splits["val"]) == 38575
    assert len(splits["test"]) == 9673
    images = {split: {e.images for e in examples} for split, examples in splits.items()}
    assert (len(images["train"]), len(images["val"]), len(images["test"])) == (3600, 400, 1000)
    assert not images["train"] & images["val"]
    assert len({e.answers for examples in splits.values() for e in examples}) == 13
    assert Counter(e.tags["type"] for e in splits["test"])["yes_no"] == 7136


def test_the_question_alone(splits):
    """The most frequent answer to the same question: what stands in the first lines of the reader."""
    answers = defaultdict(Counter)
    for e in splits["train"] + splits["val"]:
        answers[e.prompt][e.answers[0]] += 1
    metric = EasyVqa(DATA).metrics()["answer"]
    metric.update([answers[e.prompt].most_common(1)[0][0] for e in splits["test"]], splits["test"])
    values = metric.compute()
    assert values["accuracy"] == pytest.approx(0.67, abs=0.005)
    assert values["accuracy/type=yes_no"] == pytest.approx(0.825, abs=0.005)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "answers.txt").write_text("yes\nno\nred\ncircle\n")
    for part in ("train", "test"):
        (tmp_path / part / "images").mkdir(parents=True)
        for image in range(4):
            (tmp_path / part / "images" / f"{image}.png").touch()
        write(
            tmp_path,
            part,
            [["is there not a red shape?", "no", k] for k in range(4)] + [["what color is it?", "red", 0]],
        )
    return tmp_path


def write(root, part, content):
    (root / part / "questions.json").write_text(json.dumps(content))


def test_made_up(root):
    easy = EasyVqa(root, prompt="q: {question}", val_share=0.5)
    train, val, test = (easy.examples(split) for split in easy.splits)
    assert len(train) + len(val) == len(test) == 5
    assert len({e.images for e in val}) == 2
    assert test[0].tags == {"type": "yes_no", "negated": "yes"}
    assert test[4].tags == {"type": "color", "negated": "no"}
    assert test[4].prompt == "q: what color is it?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([["is it red?", "yes", "0"]], r"entry 0 is \['is it red\?', 'yes', '0'\]"),
        (
            [["is it red?", "['yes', 'no']", 0]],
            r"has the answer \"\['yes', 'no'\]\", which answers\.txt lacks",
        ),
        ([["is it red?", "perhaps", 0]], "has the answer 'perhaps', which answers.txt lacks"),
        ([["is it red?", 0]], "entry 0 is"),
        ([["is it red?", "yes", 0], {}], "entry 1 is {}"),
    ],
)
def test_a_foreign_file(root, content, message):
    write(root, "test", content)
    with pytest.raises(ValueError, match=rf"questions\.json can't be read \(.*{message}.*Get the file again"):
        EasyVqa(root).examples("test")


def test_bad_input(root):
    with pytest.raises(ValueError, match="val_share=1: must lie between 0 and 1"):
        EasyVqa(root, val_share=1)
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        EasyVqa(root, prompt="?")
    write(root, "test", {"questions": []})
    with pytest.raises(
        ValueError,
        match=r"can't be read \(it is a dict\).*holds an object with questions, which is another layout",
    ):
        EasyVqa(root).examples("test")
    (root / "test" / "questions.json").write_text("[[")
    with pytest.raises(ValueError, match=r"can't be read .*Get the file again"):
        EasyVqa(root).examples("test")
    (root / "answers.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"answers\.txt is missing\. Expected layout: answers\.txt"):
        EasyVqa(root).examples("test")
