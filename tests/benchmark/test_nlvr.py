"""NLVR's reader on the real data: counts, the official scorer's numbers, and pictures against words."""

import itertools
import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.majority import majority
from bridgelab.benchmark.nlvr import Nlvr, box_phrases

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
DATA = SHARED / "nlvr_v1"
GOLDEN = SHARED / "golden_scorers" / "nlvr_expected.json"
needs_data = pytest.mark.skipif(
    not (DATA.is_dir() and GOLDEN.is_file()), reason=f"{DATA} (NLVR) is not here: set BRIDGELAB_SHARED_DATA"
)
RGB = {"yellow": (250, 250, 26), "black": (0, 0, 0), "blue": (0, 153, 255)}  # amid its two yellows


@pytest.fixture(scope="module")
def splits():
    nlvr = Nlvr(DATA, prompt="is it true ? {sentence}")
    return {split: nlvr.examples(split) for split in nlvr.splits}


def _boxes(example):
    """What stands in each box, without the box's place."""
    boxes = {place: [] for place in ("left", "middle", "right")}
    for phrase in example.words.split(" . "):
        place, _, item = phrase.partition(" ")
        boxes[place].append(item)
    return Counter(tuple(sorted(items)) for items in boxes.values()).items()


@needs_data
def test_counts_and_held_out_groups(splits):
    groups = {split: {e.tags["group"] for e in examples} for split, examples in splits.items()}
    examples = Nlvr(DATA, test_folder="dev").examples("test")
    assert (len(examples), len(splits["test"])) == (989 * 6, 990 * 6)
    assert (len({e.tags["group"] for e in examples}), len(groups["test"])) == (267, 266)
    directories = {split: {e.tags["directory"] for e in examples} for split, examples in splits.items()}
    assert (len(directories["train"]), len(directories["val"])) == (5, 1)
    assert not directories["train"] & directories["val"]
    held_out = [e for e in examples if e.tags["directory"] in directories["val"]]
    assert [e.id for e in held_out] == [e.id for e in splits["val"]]
    boxes = {split: {frozenset(_boxes(e)) for e in examples} for split, examples in splits.items()}
    assert not boxes["train"] & boxes["val"]  # no scene in another order of its boxes either
    assert len(splits["train"]) + len(splits["val"]) == pytest.approx(len(examples), rel=0.05)
    assert not groups["train"] & groups["val"]
    assert not {e.prompt for e in splits["train"]} & {e.prompt for e in splits["val"]}
    assert all(e.prompt.startswith("is it true ? ") and e.kind == "true_false" for e in splits["test"])
    assert all(n == 6 for n in Counter(e.id.rpartition("-")[0] for e in splits["test"]).values())
    other = {e.tags["group"] for e in Nlvr(DATA, seed=1).examples("val")}
    assert other != groups["val"] == {e.tags["group"] for e in Nlvr(DATA).examples("val")}


@needs_data
@pytest.mark.parametrize("rule", ["all_true", "mixed"])
@pytest.mark.parametrize("folder", ["dev", "test"])
def test_official_scores(splits, folder, rule):
    """What lil-lab/nlvr's own scorer printed for the same predictions."""
    examples = splits["test"] if folder == "test" else Nlvr(DATA, test_folder="dev").examples("test")
    expected = json.loads(GOLDEN.read_text())["nlvr"][folder][rule]
    flip = {"true": "false", "false": "true"}
    predictions = []
    for e in examples:
        _, n, _, k = e.id.split("-")
        flipped = (int(n) * 6 + int(k)) % 10 == 0
        predictions.append("true" if rule == "all_true" else flip[e.answers[0]] if flipped else e.answers[0])
    metric = Nlvr(DATA).metrics()["true_false"]
    for start in range(0, len(examples), 1000):
        metric.update(predictions[start : start + 1000], examples[start : start + 1000])
    values = metric.compute()
    assert [values["accuracy"], values["consistency"]] == pytest.approx(expected, abs=1e-12)


@needs_data
def test_majority_floor(splits):
    floor = majority(splits["train"], splits["test"])
    right = [p == e.answers[0] for p, e in zip(floor, splits["test"], strict=True)]
    assert np.mean(right) == pytest.approx(0.5616, abs=5e-5)


@needs_data
def test_words_follow_the_order_of_boxes_in_the_picture(splits):
    """The colours visible at each place, counted in pixels, are those that the words name there."""
    names = {"yellow", "black", "blue"}
    checked = 0
    for example in splits["test"][: 6 * 25]:
        pixels = np.asarray(Image.open(example.images[0]).convert("RGBA"))[..., :3].astype(int)
        expected = defaultdict(set)
        for phrase in example.words.split(" . "):
            place, _, color, *_ = phrase.split()
            expected[place].add(color)
        for place, left in (("left", 0), ("middle", 150), ("right", 300)):
            box = pixels[:, left : left + 100]
            visible = {c for c in names if (np.abs(box - RGB[c]).sum(-1) < 60).sum() > 20}
            assert visible == expected[place]
            checked += visible != names
    assert checked > 50


@needs_data
def test_layout_tag(splits):
    """About two thirds of NLVR's pictures are towers, whose blocks are all in their box's middle."""
    towers = [e for e in splits["test"] if e.tags["layout"] == "tower"]
    assert 0.6 < len(towers) / len(splits["test"]) < 0.8
    squares = [p for e in towers for p in e.words.split(" . ")]
    assert all(p.split()[3] == "square" for p in squares[:100])


def test_box_phrases():
    box = [{"x_loc": 0, "y_loc": 80, "size": 20, "type": "square", "color": "#0099ff"}]
    top = [{"x_loc": 90, "y_loc": 0, "size": 10, "type": "circle", "color": "Yellow"}]
    assert box_phrases([box, [], top]) == [
        "left medium blue square c02 r02",
        "right small yellow circle c19 r19",
    ]


@pytest.fixture
def made_up(tmp_path):
    """Two sentences of two scenes in two groups and directories, in both folders, with empty image files."""
    item = {"x_loc": 0, "y_loc": 80, "size": 20, "type": "square", "color": "Black"}
    for folder in ("dev", "test"):
        lines = [
            {"sentence": f"there are {n} boxes", "label": "true", "identifier": f"{n}-0", "directory": str(n),
             "structured_rep": [[item | {"x_loc": n}], [], []]}
            for n in (5, 7)
        ]  # fmt: skip
        for line, k in itertools.product(lines, range(6)):
            images = tmp_path / folder / "images" / line["directory"]
            images.mkdir(parents=True, exist_ok=True)
            (images / f"{folder}-{line['identifier']}-{k}.png").touch()
        (tmp_path / folder / f"{folder}.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return tmp_path, lines


def test_made_up(made_up):
    root, lines = made_up
    train, val = Nlvr(root).examples("train"), Nlvr(root).examples("val")
    assert {e.tags["group"] for e in train + val} == {"dev-5", "dev-7"}
    assert len(train) == len(val) == 6
    assert [e.words.split()[0] for e in train] == ["left", "left", "middle", "right", "middle", "right"]
    alike = [
        line | {"sentence": text}
        for line, text in zip(lines, ("there is a box.", "There is a  box"), strict=True)
    ]
    (root / "dev" / "dev.json").write_text("\n".join(map(json.dumps, alike)))
    assert len(Nlvr(root).examples("val")) == 6
    with pytest.raises(
        ValueError, match="holds 0 examples"
    ):  # one sentence in two groups is never on both sides
        Nlvr(root).examples("train")
    again = {"sentence": "another", "structured_rep": lines[0]["structured_rep"][::-1]}  # the same scene
    (root / "dev" / "dev.json").write_text("\n".join(map(json.dumps, [lines[0], lines[1] | again])))
    with pytest.raises(ValueError, match="holds 0 examples"):
        Nlvr(root).examples("train")
    (root / "dev" / "dev.json").write_text(json.dumps(lines[0]))
    with pytest.raises(ValueError, match="names 1 directory: at least 2 are needed"):
        Nlvr(root).examples("val")


def test_the_test_that_was_hidden(tmp_path):
    """Its file has another name, its lines no directory, and a group's pictures lie in two."""
    item = {"x_loc": 0, "y_loc": 80, "size": 20, "type": "square", "color": "Black"}
    lines = [
        {
            "sentence": "there is a box",
            "identifier": f"5-{m}",
            "label": "true",
            "structured_rep": [[item], [], []],
        }
        for m in (0, 3)
    ]
    for k, (line, directory) in enumerate(itertools.product(lines, "01")):
        (tmp_path / "hidden" / "images" / directory).mkdir(parents=True, exist_ok=True)
        for picture in range(3 * (k % 2), 3 * (k % 2) + 3):
            (
                tmp_path / "hidden" / "images" / directory / f"hidden-{line['identifier']}-{picture}.png"
            ).touch()
    (tmp_path / "hidden" / "hidden_final.json").write_text("\n".join(map(json.dumps, lines)))
    examples = Nlvr(tmp_path, test_folder="hidden").examples("test")
    assert [e.id for e in examples] == [f"hidden-5-{m}-{k}" for m in (0, 3) for k in range(6)]
    assert all(Path(e.images[0]).is_file() for e in examples)
    assert {e.tags["group"] for e in examples} == {"hidden-5"}
    with pytest.raises(ValueError, match="names 1 directory"):
        Nlvr(tmp_path, train_folder="hidden").examples("val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence": None}, "lacks sentence"),
        ({"structured_rep": [[], []]}, "2 boxes"),
        ({"structured_rep": [[{"color": "pink", "size": 20}], [], []]}, "color 'pink' and size 20"),
    ],
)
def test_a_malformed_line(made_up, change, message):
    root, lines = made_up
    line = {key: value for key, value in (lines[1] | change).items() if value is not None}
    (root / "test" / "test.json").write_text(json.dumps(lines[0]) + "\n" + json.dumps(line))
    with pytest.raises(ValueError, match=f"line 2 is malformed .*{message}.*Get the file again"):
        Nlvr(root).examples("test")


def test_bad_input(made_up, tmp_path_factory):
    root, lines = made_up
    with pytest.raises(
        FileNotFoundError, match=r"test\.json is missing\. Expected layout: <folder>/.*benchmark\.root"
    ):
        Nlvr(tmp_path_factory.mktemp("empty")).examples("test")
    with pytest.raises(ValueError, match=r"split='dev': must be one of train, val, test"):
        Nlvr(root).examples("dev")
    with pytest.raises(ValueError, match=r"kind='answer': must be one of true_false"):
        Nlvr(root).examples("test", "answer")
    with pytest.raises(ValueError, match=r"must hold \{sentence\}"):
        Nlvr(root, prompt="true or false ?")
    with pytest.raises(ValueError, match=r"val_share=1\.0: must lie between"):
        Nlvr(root, val_share=1.0)
    (root / "test" / "test.json").write_text(json.dumps(lines[0] | {"label": "maybe"}))
    with pytest.raises(ValueError, match=r"answers=\('maybe',\) must be of true, false"):
        Nlvr(root).examples("test")
    (root / "test" / "test.json").write_text("[")
    with pytest.raises(ValueError, match="line 1 is malformed"):
        Nlvr(root).examples("test")
