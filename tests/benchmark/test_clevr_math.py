"""CLEVR-Math's reader on questions in the layout that its loader reads."""

import json

import pytest

from bridgelab.benchmark.clevr_math import ClevrMath

TEMPLATES = ("addition.json", "subtraction.json", "subtraction-multihop.json", "adversarial.json")


def question(split, k, **changes):
    return {
        "split": split, "image_filename": f"CLEVR_{split}_{k // 2:06d}.png", "image_index": k // 2,
        "question": "Subtract all red cubes. How many objects are left?", "answer": k % 11,
        "template_filename": TEMPLATES[k % 4], "question_family_index": 0, "program": [],
    } | changes  # fmt: skip


def write(root, split, *questions):
    root.mkdir(exist_ok=True)
    content = {"info": {"split": split}, "questions": list(questions)}
    (root / f"clevr-math-{split}.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val", "test"):
        write(tmp_path, split, *[question(split, k) for k in range(8)])
    return tmp_path


def test_questions(root):
    benchmark = ClevrMath(root, prompt="Q: {question}")
    assert benchmark.splits == ("train", "val", "test")
    examples = benchmark.examples("val")
    assert examples[3].images == (str(root / "CLEVR_v1.0" / "images" / "val" / "CLEVR_val_000001.png"),)
    assert (examples[3].prompt, examples[3].answers) == (
        "Q: Subtract all red cubes. How many objects are left?",
        ("3",),
    )
    assert [e.tags["type"] for e in examples[:4]] == [name.removesuffix(".json") for name in TEMPLATES]


def test_accuracy_by_template(root):
    benchmark = ClevrMath(root)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["answer"]
    metric.update(["3"] * 8, examples)
    values = metric.compute()
    assert (values["accuracy"], values["accuracy/type=adversarial"]) == (1 / 8, 1 / 2)


def test_the_multihop_release_in_a_folder_of_its_own(root):
    write(root / "multihop", "test", question("test", 2))
    (example,) = ClevrMath(root, questions="multihop").examples("test")
    assert example.tags == {"type": "subtraction-multihop"}


def test_bad_input(root):
    write(root, "test", question("test", 0), question("test", 1, answer=None, template_filename=None))
    with pytest.raises(ValueError, match=r"entry 1 is malformed \(AttributeError"):
        ClevrMath(root).examples("test")
    write(root, "test", question("val", 0))
    ClevrMath(root).examples("val")
    benchmark = ClevrMath(root)
    benchmark.examples("val")
    with pytest.raises(ValueError, match=r"1 images are in test \(test\) and in val \(val\)"):
        benchmark.examples("test")
    (root / "clevr-math-test.json").write_text("{}")
    with pytest.raises(ValueError, match="a list under 'questions'"):
        ClevrMath(root).examples("test")
