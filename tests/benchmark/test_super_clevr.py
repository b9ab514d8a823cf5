"""Super-CLEVR's reader on questions as in its repository's output/superCLEVR_questions_5.json, and on programs as CLEVR's."""

import json

import pytest

from bridgelab.benchmark.super_clevr import FILES, SuperClevr, question_tags

PROGRAM = [
    {"type": "scene", "inputs": []},
    {"type": "filter_shape", "inputs": [0], "side_inputs": ["car"]},
    {"type": "unique", "inputs": [1]},
    {"type": "relate", "inputs": [2], "side_inputs": ["left"]},
    {"type": "count", "inputs": [3]},
]


def question(index, **changes):
    name = f"superCLEVR_new_{index:06d}"
    return {
        "split": "new", "image_filename": f"{name}.png", "image_index": index, "image": name,
        "question": "Are there more blue trucks than metallic bicycles?", "answer": False,
        "template_filename": "compare_integer.json", "question_family_index": 2, "question_index": 7,
    } | changes  # fmt: skip


def write(root, *questions, file=FILES["train"]):
    (root / file).write_text(json.dumps({"info": {"split": "new"}, "questions": list(questions)}))


def test_splits_are_by_the_images_index(tmp_path):
    write(tmp_path, *[question(k) for k in (0, 19_999, 20_000, 24_999, 25_000, 29_999)])
    benchmark = SuperClevr(tmp_path, prompt="{question} yes or no ?")
    for split, indices in (("train", (0, 19_999)), ("val", (20_000, 24_999)), ("test", (25_000, 29_999))):
        examples = benchmark.examples(split)
        names = [str(tmp_path / "images" / f"superCLEVR_new_{k:06d}.png") for k in indices]
        assert [e.images[0] for e in examples] == names
    assert examples[0].prompt == "Are there more blue trucks than metallic bicycles? yes or no ?"
    assert examples[0].answers == ("no",)
    assert examples[0].tags == {"type": "compare_integer", "family": "compare_integer"}


def test_a_shift_is_another_file_for_the_test(tmp_path):
    write(tmp_path, question(0), question(25_000))
    write(tmp_path, question(25_000, answer=True), file="other.json")
    benchmark = SuperClevr(tmp_path, files={"train": FILES["train"], "test": "other.json"})
    assert benchmark.splits == ("train", "val", "test")
    assert benchmark.examples("test")[0].answers == ("yes",)
    only = SuperClevr(tmp_path, files={"test": "other.json"})
    assert only.splits == ("test",)


@pytest.mark.parametrize(
    ("template", "answer", "kind"),
    [
        ("compare_integer", True, "compare_integer"), ("comparison", False, "compare_attribute"), ("one_hop", True, "exist"),
        ("single_or", 3, "count"), ("zero_hop", "3", "count"), ("three_hop", "purple", "query"), ("same_relate", 0, "count"),
        ("part", "metal", "query"),
    ],
)  # fmt: skip
def test_types_from_template_and_answer(template, answer, kind):
    tags = question_tags(question(0, template_filename=f"{template}.json", answer=answer))
    assert tags == {"type": kind, "family": template}


def test_programs():
    tags = question_tags(question(0, template_filename="one_hop.json", answer=2, program=PROGRAM))
    assert tags == {"type": "count", "family": "one_hop", "program_length": 5, "hops": 1}


def test_accuracy_by_type(tmp_path):
    write(tmp_path, question(25_000), question(25_001, template_filename="zero_hop.json", answer="red"))
    benchmark = SuperClevr(tmp_path)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["answer"]
    metric.update(["yes", "red"], examples)
    values = metric.compute()
    assert (values["accuracy/type=query"], values["accuracy/type=compare_integer"]) == (1, 0)


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"superCLEVR_questions_30k\.json is missing"):
        SuperClevr(tmp_path).examples("train")
    write(tmp_path, question(5))
    with pytest.raises(ValueError, match="holds 0 examples"):
        SuperClevr(tmp_path).examples("test")
    write(tmp_path, question(5, template_filename=3))
    with pytest.raises(ValueError, match=r"entry 0 is malformed \(AttributeError"):
        SuperClevr(tmp_path, files={"train": FILES["train"], "val": FILES["val"]}).examples("train")


@pytest.mark.parametrize("index", ["25000", None, True, 25000.0])
def test_an_image_without_a_number_is_refused_and_not_left_out(tmp_path, index):
    write(tmp_path, question(25_000), question(25_001, image_index=index))
    with pytest.raises(ValueError, match=rf"entry 1 is malformed \(image_index={index!r} must be a number\)"):
        SuperClevr(tmp_path).examples("test")
