"""CLEVR's reader against real scenes and questions, with a program engine written here from the paper."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bridgelab.benchmark.clevr import Clevr, answer_text, function, program_tags, scene_from_clevr
from bridgelab.world.words import parse_words

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
SAMPLE = SHARED / "clevr_seg10"
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason=f"{SAMPLE} (10 real CLEVR renders) is not here: set BRIDGELAB_SHARED_DATA"
)


@pytest.fixture
def root(tmp_path):
    """The real sample in the release's layout, as split `new`."""
    for folder in ("questions", "scenes"):
        (tmp_path / folder).mkdir()
        shutil.copy(SAMPLE / f"CLEVR_{folder}.json", tmp_path / folder / f"CLEVR_new_{folder}.json")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "new").symlink_to((SAMPLE / "images").resolve())
    return tmp_path


def execute(scene, program):
    """CLEVR's semantics, from the paper's appendix: sets of objects, exactly one for `unique`."""
    things, results = scene["objects"], []
    for step in program:
        name = step.get("function") or step["type"]
        given = [results[k] for k in step["inputs"]]
        head, _, attribute = name.partition("_")
        if name == "scene":
            out = set(range(len(things)))
        elif name == "unique":
            assert len(given[0]) == 1
            (out,) = given[0]
        elif name == "relate":
            out = set(scene["relationships"][step["value_inputs"][0]][given[0]])
        elif head == "filter":
            out = {k for k in given[0] if things[k][attribute] == step["value_inputs"][0]}
        elif head == "same":
            value = things[given[0]][attribute]
            out = {k for k, o in enumerate(things) if o[attribute] == value} - {given[0]}
        elif head == "query":
            out = things[given[0]][attribute]
        elif name == "union":
            out = given[0] | given[1]
        elif name == "intersect":
            out = given[0] & given[1]
        elif name == "count":
            out = len(given[0])
        elif name == "exist":
            out = bool(given[0])
        elif name == "less_than":
            out = given[0] < given[1]
        elif name == "greater_than":
            out = given[0] > given[1]
        else:
            assert head == "equal", name
            out = given[0] == given[1]
        results.append(out)
    return results


@needs_sample
def test_real_programs_run_to_their_outputs_and_answers(root):
    """`relationships`, the annotation's own step outputs and our reading of the answer agree."""
    entries = json.loads((SAMPLE / "CLEVR_questions.json").read_text())["questions"]
    scenes = {s["image_index"]: s for s in json.loads((SAMPLE / "CLEVR_scenes.json").read_text())["scenes"]}
    examples = Clevr(root, test="new").examples("test")
    assert len(examples) == len(entries) == 100
    for example, entry in zip(examples, entries, strict=True):
        results = execute(scenes[entry["image_index"]], entry["program"])
        for step, result in zip(entry["program"], results, strict=True):
            assert (sorted(result) if isinstance(result, set) else result) == step["_output"]
        spoken = (
            {True: "yes", False: "no"}[results[-1]] if isinstance(results[-1], bool) else str(results[-1])
        )
        assert example.answers == (spoken,)
        assert example.prompt == entry["question"]
        assert Path(example.images[0]).name == entry["image_filename"]
        assert example.tags["objects"] == len(scenes[entry["image_index"]]["objects"])


@needs_sample
def test_family_is_the_template_file_that_the_question_came_from(root):
    entries = json.loads((SAMPLE / "CLEVR_questions.json").read_text())["questions"]
    hops = set()
    for example, entry in zip(Clevr(root, test="new").examples("test"), entries, strict=True):
        template = entry["template_filename"].removesuffix(".json")
        assert example.tags["family"] == {"same_relate": "same_attribute"}.get(template, template)
        assert example.tags["program_length"] == len(entry["program"])
        if template.endswith("_hop"):
            assert example.tags["hops"] == ["zero_hop", "one_hop", "two_hop", "three_hop"].index(template)
            hops.add(template)
    assert len(hops) == 4


@needs_sample
def test_scene_in_words_keeps_real_relations(root):
    """Words of real scenes, read back, never contradict `relationships` and decide nearly all of them."""
    scenes = json.loads((SAMPLE / "CLEVR_scenes.json").read_text())["scenes"]
    by_image = {Path(e.images[0]).name: e.words for e in Clevr(root, test="new").examples("test")}
    decided = total = 0
    for scene in scenes:
        read = parse_words(by_image[scene["image_filename"]].split(" . ")).objects
        for thing, spoken in zip(scene["objects"], read, strict=True):
            assert all(
                thing[name] == getattr(spoken, name) for name in ("shape", "size", "color", "material")
            )
        for side, axis, sign in (
            ("right", "x", 1),
            ("left", "x", -1),
            ("behind", "y", 1),
            ("front", "y", -1),
        ):
            for i, related in enumerate(scene["relationships"][side]):
                for j in related:
                    ahead = sign * (getattr(read[j], axis) - getattr(read[i], axis))
                    assert ahead > -1e-6
                    decided += ahead > 1e-6
                    total += 1
    assert decided / total > 0.97


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["scene", "filter_color", "count"], ("count", "zero_hop", 0)),
        (["scene", "unique", "relate", "unique", "relate", "exist"], ("exist", "two_hop", 2)),
        (["scene", "unique", "same_color", "unique", "query_shape"], ("query_shape", "same_attribute", 1)),
    ],
)
@pytest.mark.parametrize("key", ["function", "type"])
def test_tags_of_a_chain(names, expected, key):
    program = [{key: name, "inputs": [k - 1] if k else []} for k, name in enumerate(names)]
    tags = program_tags(program)
    assert (tags["type"], tags["family"], tags["hops"]) == expected
    assert [function(step) for step in program] == names


def test_tags_of_two_chains_that_meet():
    """Hops are those one after another: two relations side by side are one."""
    side = ["scene", "unique", "relate"]
    program = [{"function": n, "inputs": [k - 1] if k % 3 else []} for k, n in enumerate(side + side)]
    joined = [*program, {"function": "intersect", "inputs": [2, 5]}, {"function": "count", "inputs": [6]}]
    assert program_tags(joined) == {"type": "count", "family": "single_and", "program_length": 8, "hops": 1}
    compared = [*program, {"function": "equal_integer", "inputs": [2, 5]}]
    assert program_tags(compared)["type"] == program_tags(compared)["family"] == "compare_integer"
    compared[-1] = {"function": "equal_size", "inputs": [2, 5]}
    assert (program_tags(compared)["type"], program_tags(compared)["family"]) == (
        "compare_attribute",
        "comparison",
    )


def test_answers_are_written_as_the_release_writes_them():
    written = [answer_text(a) for a in (True, False, 0, 1, "3", "yes", "red")]
    assert written == ["yes", "no", "0", "1", "3", "yes", "red"]


def _scene(index, filename):
    axes = {"right": [1, 0, 0], "left": [-1, 0, 0], "behind": [0, 1, 0], "front": [0, -1, 0]}
    thing = {
        "shape": "cube",
        "size": "large",
        "color": "red",
        "material": "metal",
        "3d_coords": [1.0, -2.0, 0.5],
    }
    return {
        "image_index": index,
        "image_filename": filename,
        "objects": [thing],
        "directions": axes,
        "relationships": {},
    }


@pytest.fixture
def small(tmp_path):
    """A made-up release of one image with one question and one caption; `write` changes a file."""

    def write(folder, entries):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"CLEVR_val_{folder}.json").write_text(json.dumps({folder: entries}))

    name = "CLEVR_val_000000.png"
    program = [{"function": "scene", "inputs": []}, {"function": "count", "inputs": [0]}]
    entry = {"image_index": 0, "image_filename": name}
    (tmp_path / "images" / "val").mkdir(parents=True)
    (tmp_path / "images" / "val" / name).touch()
    write("scenes", [_scene(0, name)])
    write("questions", [entry | {"question": "how many ?", "answer": "1", "program": program}])
    write("captions", [entry | {"prompt": "describe", "captions": ["a red cube .", "a cube ."]}])
    return tmp_path, write


def test_captions_and_prompts(small):
    root, _ = small
    clevr = Clevr(root, question_prompt="q: {question}", caption_prompt="c: {prompt}")
    assert (clevr.splits, clevr.kinds) == (("train", "val", "test"), ("answer", "caption"))
    assert clevr.metrics().keys() == set(clevr.kinds)
    (question,), (caption,) = clevr.examples("test"), clevr.examples("test", "caption")
    assert (question.prompt, caption.prompt) == ("q: how many ?", "c: describe")
    assert caption.answers == ("a red cube .", "a cube .")
    assert (caption.kind, caption.tags) == ("caption", {"type": "caption", "objects": 1})
    assert question.words == caption.words == "large red metal cube c13 r03"
    shutil.rmtree(root / "captions")
    assert Clevr(root).kinds == ("answer",)
    with pytest.raises(ValueError, match="kind='caption': must be one of answer"):
        Clevr(root).examples("test", "caption")


def test_a_turned_camera_is_undone():
    scene = _scene(0, "x.png")
    scene["directions"] |= {"right": [0, -1, 0], "behind": [1, 0, 0]}
    (thing,) = scene_from_clevr(scene).objects
    assert (thing.x, thing.y) == (2.0, 1.0)
    scene["objects"][0]["3d_coords"] = [3.0, -6.0, 0.5]
    (thing,) = scene_from_clevr(scene).objects
    assert (thing.x, thing.y) == (3.0, 1.5)


def test_bad_input(small, tmp_path_factory):
    root, write = small
    with pytest.raises(
        FileNotFoundError, match=r"questions is missing\. Expected layout: images/<part>/.*benchmark\.root"
    ):
        Clevr(tmp_path_factory.mktemp("empty")).examples("test")
    with pytest.raises(ValueError, match="split='trainB': must be one of train, val, test"):
        Clevr(root).examples("trainB")
    with pytest.raises(FileNotFoundError, match=r"CLEVR_train_.*is missing"):
        Clevr(root).examples("train")
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        Clevr(root, question_prompt="what?")
    with pytest.raises(ValueError, match=r"must hold \{prompt\}"):
        Clevr(root, caption_prompt="what?")
    write(
        "questions", [{"image_index": 0, "image_filename": "CLEVR_val_000000.png", "question": "how many ?"}]
    )
    with pytest.raises(ValueError, match=r"entry 0 is malformed \(KeyError: 'answer'\).*use val"):
        Clevr(root).examples("test")
    write(
        "captions",
        [{"image_index": 7, "image_filename": "CLEVR_val_000000.png", "prompt": "d", "captions": ["a"]}],
    )
    with pytest.raises(ValueError, match="no scene for image_index 7"):
        Clevr(root).examples("test", "caption")
    (root / "questions" / "CLEVR_val_questions.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON with a list under 'questions'"):
        Clevr(root).examples("test")
    (root / "scenes" / "CLEVR_val_scenes.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"CLEVR_val_scenes\.json is missing"):
        Clevr(root).examples("test")


def test_the_release_as_it_is_makes_three_splits(tmp_path):
    """Its own test has no answers: val is what bridges are compared on, and a share of train's images what is searched on."""
    for part, images in (("train", 40), ("val", 3)):
        for folder in ("questions", "scenes"):
            (tmp_path / folder).mkdir(exist_ok=True)
        names = [f"CLEVR_{part}_{k:06}.png" for k in range(images)]
        program = [{"function": "scene", "inputs": [], "value_inputs": []}]
        entries = [
            {"image_index": k, "image_filename": name, "question": f"q{n}", "answer": "1", "program": program}
            for k, name in enumerate(names)
            for n in range(2)
        ]
        scenes = [_scene(k, name) for k, name in enumerate(names)]
        (tmp_path / f"questions/CLEVR_{part}_questions.json").write_text(json.dumps({"questions": entries}))
        (tmp_path / f"scenes/CLEVR_{part}_scenes.json").write_text(json.dumps({"scenes": scenes}))
    clevr = Clevr(tmp_path, val_share=0.1)
    shown = {split: [Path(e.images[0]).name for e in clevr.examples(split)] for split in clevr.splits}
    assert {split: len(names) for split, names in shown.items()} == {"train": 72, "val": 8, "test": 6}
    assert not set(shown["train"]) & set(shown["val"])
    assert all(name.startswith("CLEVR_val_") for name in shown["test"])
    twice = Clevr(tmp_path, test="train")
    twice.examples("train")
    with pytest.raises(ValueError, match=r"images are in test \(train\) and in train \(train\)"):
        twice.examples("test")
