"""GQA in its published layout and in the hub's columns, written here; its scenes in words, by hand."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bridgelab.benchmark.gqa import Gqa, graph_phrases, hops, steps

CONF = Path(__file__).parents[2] / "conf" / "benchmark" / "gqa.yaml"
GRAPH = {
    "width": 200,
    "height": 100,
    "objects": {
        "1": {"name": "cat", "x": 0, "y": 80, "w": 20, "h": 20, "attributes": ["small", "black"],
              "relations": [{"name": "on", "object": "2"}, {"name": "to the left of", "object": "3"}]},
        "2": {"name": "mat", "x": 0, "y": 50, "w": 200, "h": 50, "attributes": [], "relations": []},
        "3": {"name": "ball", "x": 190, "y": 0, "w": 10, "h": 2, "attributes": ["red"], "relations": []},
    },
}  # fmt: skip


def question(image, **changes):
    """A question with all of its published fields."""
    return {
        "question": "What color is the cat on the mat?",
        "answer": "black",
        "fullAnswer": "The cat is black.",
        "isBalanced": True,
        "imageId": image,
        "types": {"structural": "query", "semantic": "attr", "detailed": "color"},
        "groups": {"global": "color", "local": "10q-cat_color"},
        "entailed": ["12", "13"],
        "equivalent": ["12"],
        "semantic": [
            {"operation": "select", "argument": "mat (2)", "dependencies": []},
            {"operation": "relate", "argument": "cat,on,s (1)", "dependencies": [0]},
            {"operation": "query", "argument": "color", "dependencies": [1]},
        ],
        "annotations": {"question": {}, "answer": {}, "fullAnswer": {}},
    } | changes


def write(root, part, questions):
    (root / "questions").mkdir(exist_ok=True)
    (root / "questions" / f"{part}_questions.json").write_text(json.dumps(questions))
    (root / "images").mkdir(exist_ok=True)
    for entry in questions.values():
        (root / "images" / f"{entry['imageId']}.jpg").touch()


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "train_balanced", {"01": question("a"), "02": question("b"), "03": question("b")})
    write(tmp_path, "val_balanced", {"11": question("c")})
    write(
        tmp_path,
        "testdev_balanced",
        {"12": question("n1"), "13": question("n1", groups={"global": None, "local": "x"})},
    )
    return tmp_path


def from_yaml(root, **changes):
    config = OmegaConf.to_container(OmegaConf.load(CONF), resolve=True)
    del config["_target_"], config["published"]
    return Gqa(**(config | {"root": root} | changes))


def test_published_layout(root):
    gqa = from_yaml(root)
    assert (gqa.name, gqa.splits, gqa.kinds) == ("gqa", ("train", "val", "test"), ("answer",))
    train, val, test = map(gqa.examples, gqa.splits)
    assert [[e.id for e in split] for split in (train, val, test)] == [
        ["01", "02", "03"],
        ["11"],
        ["12", "13"],
    ]
    assert test[0].images == (f"{root}/images/n1.jpg",)
    assert (
        test[0].prompt
        == "What color is the cat on the mat?\nAnswer the question using a single word or phrase."
    )
    assert (test[0].answers, test[0].words) == (("black",), None)
    assert test[0].tags == {
        "type": "query", "family": "attr", "detailed": "color", "steps": 3, "program_length": 3, "hops": 1,
        "question_words": 8, "balanced": 1, "global_group": "color", "entailed": "13",
    }  # fmt: skip
    assert "global_group" not in test[1].tags
    held_out = from_yaml(root, val=None)
    assert len(held_out.examples("train")) + len(held_out.examples("val")) == 3


def test_all_questions_of_train_are_in_several_files(root):
    """As eval.py's loadFile reads them: a folder of the file's name."""
    whole = from_yaml(root).examples("train")
    folder = root / "questions" / "train_all_questions"
    folder.mkdir()
    written = json.loads((root / "questions" / "train_balanced_questions.json").read_text())
    for k, (name, entry) in enumerate(written.items()):
        (folder / f"train_all_questions_{k}.json").write_text(json.dumps({name: entry}))
    assert len(written) > 1
    chunked = from_yaml(root, train="train_all").examples("train")
    assert sorted(chunked, key=lambda e: e.id) == sorted(whole, key=lambda e: e.id)


def test_scenes_in_words(root):
    (root / "sceneGraphs").mkdir()
    (root / "sceneGraphs" / "train_sceneGraphs.json").write_text(json.dumps({"a": GRAPH}))
    first, second, _ = Gqa(root).examples("train")
    assert first.words == "small black cat c01 r02 on mat . mat c10 r05 . red ball c19 r19"
    assert first.tags["objects"] == 3
    assert second.words is None
    assert "objects" not in second.tags
    assert graph_phrases({"width": 1, "height": 1, "objects": {}}) == []


def test_choices_are_those_of_the_test(root):
    assert Gqa(root).metrics()["answer"].choices is None
    (root / "eval").mkdir()
    choices = {"11": {"valid": ["black", "red"], "plausible": ["black"]}}
    (root / "eval" / "val_choices.json").write_text(json.dumps(choices))
    gqa = Gqa(root, val=None, test="val_balanced")
    metric = gqa.metrics()["answer"]
    metric.update(["red"], gqa.examples("test"))
    values = metric.compute()
    assert (values["validity"], values["plausibility"]) == (1, 0)


def test_the_hub(tmp_path):
    """The configs of lmms-lab-encoder/GQA: questions, and images by id; ids of other questions as a print-out."""
    held = io.BytesIO()
    Image.new("RGB", (4, 4)).save(held, "PNG")
    rows = [question("n1", id="12", entailed="['12', '13']"), question("n1", id="13", entailed="[]")]
    for row in rows:
        row.pop("annotations")
    for config, table in (
        ("testdev_balanced_instructions", rows),
        ("testdev_balanced_images", [{"id": "n1", "image": {"bytes": held.getvalue(), "path": "n1.jpg"}}]),
    ):
        (tmp_path / config).mkdir()
        pq.write_table(pa.Table.from_pylist(table), tmp_path / config / "testdev-00000-of-00001.parquet")
    gqa = from_yaml(tmp_path / "kept", hub=str(tmp_path), train=None, val=None)
    first, second = gqa.examples("test")
    assert first.tags["entailed"] == "13"
    assert "entailed" not in second.tags
    assert first.images == second.images
    assert first.images[0].endswith(".png")
    path = tmp_path / "testdev_balanced_instructions" / "testdev-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows[:1] * 2), path)
    with pytest.raises(ValueError, match="id '12' occurs 2 times"):
        gqa.examples("test")
    pq.write_table(pa.Table.from_pylist([rows[0] | {"imageId": "n2"}]), path)
    with pytest.raises(ValueError, match=r"question 12 is malformed .*must be absolute paths"):
        gqa.examples("test")


def test_steps_and_hops():
    def program(*written):
        return [
            {"operation": name, "argument": argument, "dependencies": [k - 1] if k else []}
            for k, (name, argument) in enumerate(written)
        ]

    assert steps(program(("select", "cat"), ("query", "name"))) == 1
    assert steps(program(("select", "cat"), ("query", "color"))) == 2
    assert steps(program(("select", "cat"), ("exist", "?"))) == 1
    assert steps(program(("select", "cat"), ("choose name", "cat|dog"))) == 1
    assert hops(program(("select", "cat"), ("exist", "?"))) == 0
    assert hops(program(("select", "cat"), ("relate", "mat,on,o"), ("verify rel", "dog,near,o"))) == 2
    side = program(("select", "cat"), ("relate", "mat,on,o"))
    other = [step | {"dependencies": [k + 2 for k in step["dependencies"]]} for step in side]
    joined = [*side, *other, {"operation": "and", "argument": "", "dependencies": [1, 3]}]
    assert hops(joined) == 1  # side by side, as in CLEVR's tag
    assert hops([]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, r"answers=\(None,\) must be strings.*use testdev"),
        ({"answer": ["black"]}, "must be strings"),
        ({"types": {"structural": "query"}}, "KeyError: 'semantic'"),
        ({"semantic": "select: cat"}, "TypeError"),
        ({"semantic": [{"operation": "relate", "argument": "", "dependencies": [4]}]}, "IndexError"),
        ({"groups": None}, "TypeError"),
        ({"entailed": None}, "TypeError"),
        ({"question": 3}, "AttributeError"),
    ],
)
def test_a_malformed_question(root, change, message):
    write(root, "testdev_balanced", {"12": question("n1") | change})
    with pytest.raises(ValueError, match=f"question 12 is malformed .*{message}"):
        Gqa(root).examples("test")


def test_bad_input(root, tmp_path_factory):
    with pytest.raises(
        FileNotFoundError,
        match=r"testdev_balanced_questions\.json is missing\. Expected layout: .*benchmark\.hub",
    ):
        Gqa(tmp_path_factory.mktemp("empty")).examples("test")
    with pytest.raises(ValueError, match="split='dev': must be one of train, val, test"):
        Gqa(root).examples("dev")
    with pytest.raises(ValueError, match="kind='caption': must be one of answer"):
        Gqa(root).examples("test", "caption")
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        Gqa(root, prompt="what ?")
    leaked = Gqa(root)
    leaked.examples("train")
    write(root, "testdev_balanced", {"12": question("b")})
    with pytest.raises(
        ValueError,
        match=r"1 images are in test \(testdev_balanced\) and in train \(train_balanced\), the first b",
    ):
        leaked.examples("test")
    path = root / "questions" / "testdev_balanced_questions.json"
    for content in ([1], {"info": {}, "questions": []}):  # the second is VQAv2's
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"it must be JSON with an object under each id.*another layout"):
            Gqa(root).examples("test")
    path.write_text("{")
    with pytest.raises(ValueError, match="can't be read"):
        Gqa(root).examples("test")
    path.write_text("{}")
    with pytest.raises(ValueError, match="holds 0 examples"):
        Gqa(root).examples("test")
    (root / "sceneGraphs").mkdir()
    (root / "sceneGraphs" / "train_sceneGraphs.json").write_text(json.dumps({"a": GRAPH | {"width": 0}}))
    with pytest.raises(ValueError, match=r"scene graph of image a is malformed .*ZeroDivisionError"):
        Gqa(root).examples("train")
