"""VQAv2, OK-VQA and TextVQA in their published layouts and in the hub's columns, written here."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.vqa_accuracy import EMPTY_ANSWER, VqaAccuracy
from bridgelab.benchmark.vqav2 import Vqav2, most_frequent_first

CONF = Path(__file__).parents[2] / "conf" / "benchmark"
SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
GOLDEN = SHARED / "golden_scorers" / "vqa_textvqa_val1000.json"
TEN = ["no", *["yes"] * 6, "Yes", "maybe", "no"]


def entries(answers):
    return [{"answer": a, "answer_confidence": "yes", "answer_id": k} for k, a in enumerate(answers, start=1)]


def made_by(name, root, **changes):
    """What a yaml makes, with its own file names and prompt."""
    config = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=True)
    del config["_target_"], config["published"]
    return Vqav2(**(config | {"root": root} | changes))


def write_published(root, part, images, questions="v2_OpenEnded_mscoco_", annotations="v2_mscoco_"):
    """Two questions an image; both files, and empty image files."""
    question_entries, answer_entries = [], []
    for image in images:
        for k in (0, 1):
            both = {"image_id": image, "question_id": 10 * image + k}
            question_entries.append({**both, "question": f"is it {k} ?"})
            answer_entries.append(
                both | {"question_type": "is it", "answer_type": "yes/no", "answers": entries(TEN),
                        "multiple_choice_answer": "yes"}
            )  # fmt: skip
        folder = root / part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"COCO_{part}_{image:012d}.jpg").touch()
    (root / f"{questions}{part}_questions.json").write_text(
        json.dumps({"info": {}, "questions": question_entries})
    )
    (root / f"{annotations}{part}_annotations.json").write_text(
        json.dumps({"info": {}, "annotations": answer_entries[::-1]})
    )


@pytest.fixture
def root(tmp_path):
    write_published(tmp_path, "train2014", range(1, 11))
    write_published(tmp_path, "val2014", range(11, 14))
    return tmp_path


def test_vqav2(root):
    vqa = made_by("vqav2", root, val_share=0.2)
    assert (vqa.name, vqa.splits, vqa.kinds) == ("vqav2", ("train", "val", "test"), ("answer",))
    train, val, test = map(vqa.examples, vqa.splits)
    assert (len(train), len(val), len(test)) == (16, 4, 6)
    assert not {e.images for e in train} & {e.images for e in val}
    first = test[0]
    assert (first.id, first.images) == ("110", (f"{root}/val2014/COCO_val2014_000000000011.jpg",))
    assert first.prompt == "is it 0 ?\nAnswer the question using a single word or phrase."
    assert first.answers[0] == "yes"
    assert sorted(first.answers) == sorted(TEN)
    assert first.tags == {"type": "yes/no", "family": "is it"}
    metric = vqa.metrics()["answer"]
    metric.update(["yes", "no", "Yes.", "maybe", "", "a yes"], test)
    values = metric.compute()
    assert values["accuracy"] == pytest.approx((1 + 0.6 + 1 + 0.3 + 0 + 1) / 6)
    assert values["accuracy/type=yes/no"] == values["accuracy/family=is it"] == values["accuracy"]
    assert made_by("vqav2", root, variant="older").metrics()["answer"].variant == "older"
    plain = made_by("vqav2", root, variant="plain").metrics()["answer"]
    plain.update(["yes", "maybe", "a yes"], test[:3])
    assert plain.compute()["accuracy/type=yes/no"] == pytest.approx(2 / 3)


def test_ok_vqa(tmp_path):
    for part, images in (("train2014", (1, 2, 3)), ("val2014", (4, 5))):
        write_published(tmp_path, part, images, "OpenEnded_mscoco_", "mscoco_")
    ok = made_by("ok_vqa", tmp_path)
    assert [len(ok.examples(split)) for split in ok.splits] == [4, 2, 4]
    assert ok.name == "ok_vqa"


def test_textvqa(tmp_path):
    for part, images in (("train", "abc"), ("val", "de")):
        data = [
            {"question_id": k, "image_id": image * 8, "question": "what word ?", "answers": TEN, "image_classes": ["Sign"]}
            for k, image in enumerate(images)
        ]  # fmt: skip
        (tmp_path / f"TextVQA_0.5.1_{part}.json").write_text(
            json.dumps({"dataset_name": "textvqa", "data": data})
        )
        (tmp_path / "train_images").mkdir(exist_ok=True)
        for image in images:
            (tmp_path / "train_images" / f"{image * 8}.jpg").touch()
    text = made_by("textvqa", tmp_path)
    assert text.metrics()["answer"].variant == "textvqa"
    assert [len(text.examples(split)) for split in text.splits] == [2, 1, 2]
    first = text.examples("test")[0]
    assert first.images == (f"{tmp_path}/train_images/dddddddd.jpg",)
    assert (first.answers[0], first.tags) == ("yes", {})


@pytest.mark.parametrize("as_strings", [False, True], ids=["VQAv2", "OK-VQA"])
def test_the_hub(tmp_path, as_strings):
    """The columns of lmms-lab-encoder/VQAv2, and of lmms-lab-encoder/OK-VQA, which has strings and no image_id."""
    source = tmp_path / "source"
    source.mkdir()
    for split, ids in (("train", (1, 2, 3, 4)), ("validation", (5, 6))):
        rows = []
        for k in ids:
            held = io.BytesIO()
            Image.new("RGB", (4, 4), (k, 0, 0)).save(held, "PNG")
            row = {"question_id": k, "question": "is it ?", "image": {"bytes": held.getvalue(), "path": None},
                   "question_type": "is", "answer_type": "other", "answers": TEN if as_strings else entries(TEN)}  # fmt: skip
            rows.append(row if as_strings else row | {"image_id": k})
        pq.write_table(pa.Table.from_pylist(rows), source / f"{split}-00000-of-00001.parquet")
    vqa = made_by("vqav2", tmp_path / "kept", hub=str(source), train="train", test="validation")
    assert [len(vqa.examples(split)) for split in vqa.splits] == [3, 1, 2]
    first = vqa.examples("test")[0]
    assert (first.id, first.answers[0], first.tags) == ("5", "yes", {"type": "other", "family": "is"})
    assert Path(first.images[0]).parent == tmp_path / "kept" / "hub" / "images"
    alone = made_by("vqav2", tmp_path / "kept", hub=str(source), train=None, test="validation")
    assert alone.splits == ("test",)
    leaked = made_by("vqav2", tmp_path / "kept", hub=str(source), train="train", test="train")
    leaked.examples("train")
    with pytest.raises(ValueError, match=r"3 images are in test \(train\) and in train \(train\)"):
        leaked.examples("test")


@pytest.mark.skipif(
    not GOLDEN.is_file(), reason=f"{GOLDEN} (real TextVQA answers) is not here: set BRIDGELAB_SHARED_DATA"
)
def test_real_answers_lose_nothing_by_their_new_order():
    rows = json.loads(GOLDEN.read_text())["annotations"]
    assert len(rows) == 1000
    for row in rows:
        answers = [a["answer"] for a in row["answers"]]
        ordered = most_frequent_first(row["answers"])
        assert sorted(ordered) == sorted(answers)
        times = [sum(a.strip() == b.strip() for b in answers) for a in ordered]
        assert times == sorted(times, reverse=True)


def test_most_frequent_first():
    assert most_frequent_first(["a ", "b", "a", "c", "b ", "a"]) == ("a", "a", "a ", "b", "b ", "c")
    assert most_frequent_first([{"answer": "b"}, {"answer": "a"}, {"answer": "a"}]) == ("a", "a", "b")
    assert most_frequent_first(["b", " ", ".", ""]) == (EMPTY_ANSWER, EMPTY_ANSWER + " ", "b", ".")


@pytest.mark.parametrize(
    ("variant", "answers", "prediction", "score"),
    [
        # As the official code gives them: it compares what is the same for all as it stands, and '' is an answer.
        ("current", [""] * 10, "", 1),
        ("current", [""] * 10, ".", 0),
        ("current", ["."] * 10, ".", 1),
        ("current", ["."] * 10, "", 0),
        ("current", [""] * 5 + ["."] * 5, "", 1),
        ("current", [""] * 5 + ["."] * 5, ".", 1),
        ("current", ["", *["dog"] * 9], "the", 0.3),
        ("older", [""] * 10, "", 1),
        ("older", ["."] * 10, ".", 0),
        # The older one strips neither: '-' becomes a blank in the answer, and nothing in the prediction.
        ("older", [" "] * 5 + ["-"] * 5, "", 0),
        ("older", [" "] * 5 + ["-"] * 5, "-", 0),
        ("older", [""] * 5 + ["-"] * 5, "-", 1),
    ],
)
def test_answers_of_nothing_are_scored_as_the_official_code_does(variant, answers, prediction, score):
    example = Example("1", ("/x.png",), "?", most_frequent_first(answers), "answer")
    assert VqaAccuracy(variant=variant).score(prediction, example) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("['yes', 'no']", r"TypeError: answers=\"\['yes', 'no'\]\" must be a list, not str"),
        (None, "must be a list, not NoneType.*Parts without answers, such as test"),
        ([], "must hold at least one"),
        ([3], r"answers=\[3\] must be strings"),
        ([{"raw_answer": "yes"}], "KeyError: 'answer'"),
    ],
)
def test_malformed_answers(root, answers, message):
    path = root / "v2_mscoco_val2014_annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][-1]["answers"] = answers
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"question 110 is malformed .*{message}"):
        Vqav2(root).examples("test")


def test_malformed_files(root):
    questions_path, answers_path = (
        root / f"v2_{n}.json" for n in ("OpenEnded_mscoco_val2014_questions", "mscoco_val2014_annotations")
    )
    good = json.loads(questions_path.read_text())
    twice = good["questions"] + good["questions"][:1]
    questions_path.write_text(json.dumps({"questions": twice}))
    with pytest.raises(ValueError, match="question_id 110 occurs 2 times"):
        Vqav2(root).examples("test")
    questions_path.write_text(
        json.dumps({"questions": [*good["questions"], {"question_id": 5, "image_id": 11, "question": "?"}]})
    )
    with pytest.raises(
        ValueError, match=r"answers 6 questions, and .* asks 7, 1 of which have no answers, such as \[5\]"
    ):
        Vqav2(root).examples("test")
    questions_path.write_text(json.dumps({"questions": good["questions"][1:]}))
    with pytest.raises(ValueError, match=r"answers 6 questions, and .* asks 5, 0 of which"):
        Vqav2(root).examples("test")
    questions_path.write_text(json.dumps([1, 2]))  # another data set's
    with pytest.raises(ValueError, match="it must be JSON with a list under 'questions'"):
        Vqav2(root).examples("test")
    questions_path.write_text(json.dumps({"questions": []}))
    with pytest.raises(ValueError, match=r"ValueError: 0 entries\).*list under 'questions'"):
        Vqav2(root).examples("test")
    questions_path.write_text(json.dumps(good)[:-5])
    with pytest.raises(ValueError, match="JSONDecodeError"):
        Vqav2(root).examples("test")
    questions_path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"questions\.json is missing\. Expected layout: .*benchmark\.root"
    ):
        Vqav2(root).examples("test")
    assert answers_path.exists()


def test_a_hub_row_twice(tmp_path):
    held = io.BytesIO()
    Image.new("RGB", (4, 4)).save(held, "PNG")
    row = {
        "question_id": 1,
        "question": "?",
        "image": {"bytes": held.getvalue(), "path": None},
        "answers": TEN,
    }
    pq.write_table(pa.Table.from_pylist([row, row]), tmp_path / "validation.parquet")
    with pytest.raises(ValueError, match="id '1' occurs 2 times"):
        Vqav2(tmp_path, hub=str(tmp_path), train=None, test="validation").examples("test")


def test_bad_input(root):
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        Vqav2(root, prompt="what ?")
    with pytest.raises(ValueError, match=r"questions='q\.json' must hold \{part\}.*benchmark\.questions"):
        Vqav2(root, questions="q.json")
    with pytest.raises(ValueError, match=r"image='\{name\}\.jpg' can't be filled in .*benchmark\.image"):
        Vqav2(root, image="{name}.jpg")
    with pytest.raises(ValueError, match="variant='new': must be one of current, older, textvqa, plain"):
        Vqav2(root, variant="new")
    with pytest.raises(ValueError, match="split='dev': must be one of train, val, test"):
        Vqav2(root).examples("dev")
    with pytest.raises(ValueError, match="kind='caption': must be one of answer"):
        Vqav2(root).examples("test", "caption")
