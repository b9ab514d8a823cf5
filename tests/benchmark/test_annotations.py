"""Annotation files: JSON, JSON lines and text, messages about broken files, and names that lead out of the root."""

import json
import re

import pytest

from bridgelab.benchmark.annotations import read_jsonl, require
from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.coco_captions import CocoCaptions
from bridgelab.benchmark.easy_vqa import EasyVqa
from bridgelab.benchmark.gqa import Gqa
from bridgelab.benchmark.nlvr import Nlvr
from bridgelab.benchmark.nlvr2 import Nlvr2
from bridgelab.benchmark.pope import SETTINGS, Pope
from bridgelab.benchmark.science_qa import ScienceQa
from bridgelab.benchmark.shapeworld import ShapeWorld
from bridgelab.benchmark.vqav2 import Vqav2
from bridgelab.benchmark.vsr import Vsr
from bridgelab.benchmark.winoground import Winoground

# Each reader's smallest test: IMAGE is a name that an annotation gives, a list a file of JSON lines, and a string text.
ITEM = {"x_loc": 0, "y_loc": 80, "size": 20, "type": "square", "color": "Black"}
LAYOUTS = {
    "clevr": (Clevr, {
        "questions/CLEVR_val_questions.json": {"questions": [{
            "image_index": 0, "image_filename": "IMAGE", "question": "ä ?", "answer": "1", "program": [{"type": "scene", "inputs": []}],
        }]},
        "scenes/CLEVR_val_scenes.json": {"scenes": [{
            "image_index": 0, "objects": [], "directions": {"right": [1, 0, 0], "behind": [0, 1, 0]},
        }]},
    }),
    "coco_captions": (CocoCaptions, {"dataset_coco.json": {"images": [
        {"filename": "IMAGE", "split": "test", "imgid": 0, "sentences": [{"raw": "a dog"}]},
    ]}}),
    "easy_vqa": (EasyVqa, {"answers.txt": "yes\nno\n", "test/questions.json": {"": [["is it ?", "yes", 0], ["is it ?", "no", 1]]}}),
    "gqa": (Gqa, {"questions/testdev_balanced_questions.json": {"1": {
        "question": "is it ?", "answer": "yes", "imageId": "IMAGE", "isBalanced": True, "entailed": [], "groups": {"global": None},
        "types": {"structural": "verify", "semantic": "obj", "detailed": "x"}, "semantic": [],
    }}}),
    "nlvr": (Nlvr, {"test/test.json": [
        {"sentence": "it is", "label": "true", "identifier": "1-0", "directory": "IMAGE", "structured_rep": [[ITEM], [], []]},
    ]}),
    "nlvr2": (Nlvr2, {"data/test1.json": [
        {"sentence": "it is", "label": "True", "identifier": "test1-0-0-0", "directory": "IMAGE"},
    ]}),
    "pope": (Pope, {f"pope/coco_pope_{setting}.json": [
        {"question_id": 1, "image": "IMAGE", "text": "is it ?", "label": "yes"},
    ] for setting in SETTINGS}),
    "science_qa": (ScienceQa, {
        "problems.json": {"1": {
            "question": "which ?", "choices": ["a", "b"], "answer": 0, "hint": "", "image": "IMAGE", "grade": "grade1",
            "subject": "x", "topic": "y",
        }},
        "pid_splits.json": {"test": ["1"]},
    }),
    "shapeworld": (ShapeWorld, {"existential-full/caption.txt": "a\nb\n\nc\nd\n", "existential-full/agreement.txt": "1.0;0.0\n0.0;1.0\n"}),
    "vqav2": (lambda root: Vqav2(root, image="images/{image_id}.jpg"), {
        "v2_OpenEnded_mscoco_val2014_questions.json": {"questions": [{"question_id": 1, "image_id": "IMAGE", "question": "is it ?"}]},
        "v2_mscoco_val2014_annotations.json": {"annotations": [{"question_id": 1, "answers": [{"answer": "yes"}]}]},
    }),
    "vsr": (Vsr, {"splits/random/test.jsonl": [{"image": "IMAGE", "caption": "it is", "label": 1, "relation": "on"}]}),
    "winoground": (Winoground, {"examples.jsonl": [{
        "id": 0, "image_0": "IMAGE", "image_1": "b", "caption_0": "a b", "caption_1": "b a", "collapsed_tag": "Object",
    }]}),
}  # fmt: skip


def laid_out(name, root, image="a", change=lambda content: content):
    """The benchmark over its files, in which `image` is named and whose bytes are changed."""
    build, files = LAYOUTS[name]
    for path, content in files.items():
        if isinstance(content, dict):
            text = json.dumps(content.get("", content), ensure_ascii=False, indent=1)
        else:
            text = (
                content if isinstance(content, str) else "".join(f"{json.dumps(line)}\n" for line in content)
            )
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(change(text.replace("IMAGE", image).encode()))
    return build(root)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_mark_of_utf_8_and_ends_of_lines_say_nothing(name, tmp_path):
    plain, marked = (
        (benchmark := laid_out(name, tmp_path, change=change)).examples("test", benchmark.kinds[0])
        for change in (bytes, lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    )
    assert plain == marked
    assert all(path.startswith(f"{tmp_path}/") for e in plain for path in e.images)


@pytest.mark.parametrize(
    "name", sorted(LAYOUTS.keys() - {"easy_vqa", "shapeworld"})
)  # which number their images
def test_no_annotation_leads_out_of_the_root(name, tmp_path):
    benchmark = laid_out(name, tmp_path, image="../../../secret")
    with pytest.raises(
        ValueError, match=r"\.\./secret.* leads out of .*: an annotation may only name files under it"
    ):
        benchmark.examples("test", benchmark.kinds[0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_pointer_of_git_lfs_is_distinguished_from_a_broken_file(name, tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    benchmark = laid_out(name, tmp_path, change=lambda content: pointer)
    with pytest.raises(ValueError, match=r"is a Git LFS pointer instead of the file.*git lfs pull"):
        benchmark.examples("test", benchmark.kinds[0])


# Published files that another benchmark's reader was given, and what they hold.
OTHERS = {
    "coco_captions": (
        {"info": {}, "images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "a dog"}]},
        "an object with info, images, annotations (COCO's own), which is another layout",
    ),
    "vqav2": (
        [{"answerable": 1, "image": "1.jpg", "question": "?", "answers": [{"answer": "yes"}]}],
        "a list of 1, of which the first is an object with answerable, image, question, answers (VizWiz's), which is another",
    ),
    "vsr": ([{"image": "1.jpg"}], "a list of 1, of which the first is an object with image, which is another layout"),
    "pope": ({"image": "1.jpg"}, "an object with image, which is another layout: give a file of this one"),
    "science_qa": ([1], "a list of 1, of which the first is a int, which is another layout"),
    "easy_vqa": ([{"question": "?"}], "a list of 1, of which the first is an object with question, which is another layout"),
    "clevr": ({"info": {}}, "an object with info, which is another layout"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_whole_file_of_another_layout_is_not_to_be_got_again(name, tmp_path):
    other, description = OTHERS[name]
    benchmark = laid_out(name, tmp_path)
    for path in LAYOUTS[name][1]:
        if not path.endswith(".txt"):
            (tmp_path / path).write_text(json.dumps(other, indent=1 if name == "vsr" else None))
    with pytest.raises(ValueError, match=re.escape(description)) as refused:
        benchmark.examples("test", benchmark.kinds[0])
    assert "again" not in str(refused.value)


def test_lines_keep_their_order_and_their_separators(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": 1, "b": "x\u2028y"}\r\n\n{"b": "z", "a": 2, "c": null}\n'.encode())
    assert read_jsonl(path, {"a": int, "b": str}) == [
        {"a": 1, "b": "x\u2028y"},
        {"a": 2, "b": "z", "c": None},
    ]
    path.write_text("")
    assert read_jsonl(path, {"a": int}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"b": "x"}', "line 2 is malformed (lacks a)"),
        ('{"a": "[1, 2]"}', "line 1 is malformed (a='[1, 2]')"),
        ('[{"a": 1}]', "line 1 is malformed (it is a list)"),
        ('{"a": 1', "line 1 is malformed (unexpected"),
        ('{"a": ' + "[" * 1010 + "]" * 1010 + "}", "line 1 is malformed (it is nested more than 254 levels deep)"),
        ('\n{"a": null}', "line 2 is malformed (a=None): each must be one JSON object with a (int). Get the file again."),
    ],
)  # fmt: skip
def test_a_malformed_line(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_jsonl(tmp_path / "a.jsonl", {"a": int})


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1 is malformed .*Get the file again"):
        read_jsonl(tmp_path / "a.jsonl", {"a": int})


def test_a_missing_file_is_named_with_its_layout(tmp_path):
    assert require(tmp_path, "", "") == tmp_path
    with pytest.raises(FileNotFoundError, match=r"is missing\. Expected layout: images/\. Unpack it\."):
        require(tmp_path / "no", "images/", "Unpack it.")
