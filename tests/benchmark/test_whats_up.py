"""What'sUp's reader on files in its layout, and pairs and sets against the authors' counting."""

import json
import random
from collections import Counter

import pytest

from bridgelab.benchmark.whats_up import FILES, WhatsUp
from bridgelab.data.example_limits import limit_examples

A, B = ("left_of", "right_of", "on", "under"), ("left_of", "right_of", "in-front_of", "behind")


def controlled(prepositions, objects):
    return [
        {
            "image_path": f"data/controlled_images/{one}_{preposition}_{other}.jpeg",
            "caption_options": [f"A {one} {p.replace('_', ' ')} a {other}" for p in (preposition, *others)],
        }
        for one, other in objects
        for preposition in prepositions
        for others in [[p for p in prepositions if p != preposition]]
    ]


def write(root, variant, entries):
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / FILES[variant]).write_text(json.dumps(entries))
    return WhatsUp(root, name="whats_up", prompt="say", variant=variant)


def pairs_and_sets(dataset, correct):
    """evaluate_scores of Controlled_Images, from whether each image's first caption wins."""
    found = {}
    for entry, right in zip(dataset, correct, strict=True):
        words = entry["image_path"].split("/")[-1].split("_")
        found.setdefault((words[0], words[-1][:-5]), {})[words[1]] = right
    pairs = sets = 0
    for right in found.values():
        pairs += right["left"] and right["right"]
        pairs += right["on"] and right["under"] if "on" in right else right["in-front"] and right["behind"]
        sets += sum(right.values()) == 4
    return pairs / (len(dataset) / 2), sets / (len(dataset) / 4)


def test_a_controlled_image(tmp_path):
    examples = write(tmp_path, "controlled_a", controlled(A, [("mug", "table")])).examples("test")
    assert [e.tags["type"] for e in examples] == list(A)
    assert examples[2].images == (str(tmp_path / "data" / "controlled_images" / "mug_on_table.jpeg"),)
    assert examples[2].answers == ("A mug on a table",)
    assert examples[0].tags["pair"] == examples[1].tags["pair"] != examples[2].tags["pair"]
    assert len({e.tags["set"] for e in examples}) == 1
    assert {e.choices.index(e.answers[0]) for e in examples} != {
        0
    }  # the right caption is not always the first


@pytest.mark.parametrize(("variant", "prepositions"), [("controlled_a", A), ("controlled_b", B)])
def test_pairs_and_sets(tmp_path, variant, prepositions):
    dataset = controlled(prepositions, [(f"cup{k}", "chair") for k in range(20)])
    benchmark, draw = write(tmp_path, variant, dataset), random.Random(1)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["choice"]
    correct = [draw.random() < 0.8 for _ in dataset]
    wrong = [next(c for c in e.choices if c != e.answers[0]) for e in examples]
    metric.update(
        [e.answers[0] if r else w for e, r, w in zip(examples, correct, wrong, strict=True)], examples
    )
    values = metric.compute()
    assert (values["pair_accuracy"], values["set_accuracy"]) == pytest.approx(
        pairs_and_sets(dataset, correct)
    )
    assert values["accuracy"] == pytest.approx(sum(correct) / 80)
    of = [r for r, e in zip(correct, examples, strict=True) if e.tags["type"] == "right_of"]
    assert values["accuracy/type=right_of"] == pytest.approx(sum(of) / 20)
    limited = limit_examples({"choice": examples}, {"answer": 9}, whole_groups=True)["choice"]
    assert sorted(Counter(e.tags["set"] for e in limited).values()) == [4, 4]


@pytest.mark.parametrize(
    ("variant", "entry", "image", "place"),
    [
        ("coco_one", [42, "A photo of a cat on the left", "A photo of a cat on the right"], "val2017/000000000042.jpg", "left"),
        ("coco_two", [42, "A cat above a dog", "A cat below a dog"], "val2017/000000000042.jpg", "above"),
        ("coco_two", [42, "A cat to the left of a dog", "A cat to the right of a dog"], "val2017/000000000042.jpg", "left"),
        ("vg_one", ["7", "A photo of a cat on the top", "A photo of a cat on the bottom"], "vg_images/7.jpg", "top"),
        ("vg_two", [7, "A cat in front of a dog", "A cat behind a dog"], "vg_images/7.jpg", "front"),
        ("vg_two", [7, "A cat on top of a dog", "A cat under a dog"], "vg_images/7.jpg", "top"),
    ],
)  # fmt: skip
def test_photographs(tmp_path, variant, entry, image, place):
    benchmark = write(tmp_path, variant, [entry])
    (example,) = benchmark.examples("test")
    assert example.images == (str(tmp_path / "data" / image),)
    assert (example.answers, set(example.choices)) == ((entry[1],), set(entry[1:]))
    assert example.tags == {"type": place}
    metric = benchmark.metrics()["choice"]
    metric.update([entry[1]], [example])
    assert metric.compute() == {"accuracy": 1, f"accuracy/type={place}": 1}


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="variant='c': must be one of controlled_a, controlled_b, coco_one"):
        WhatsUp(tmp_path, name="whats_up", prompt="say", variant="c")
    with pytest.raises(FileNotFoundError, match=r"vg_qa_two_obj\.json is missing"):
        WhatsUp(tmp_path, name="whats_up", prompt="say", variant="vg_two").examples("test")
    with pytest.raises(ValueError, match=r"entry 0 is malformed \(ValueError: not enough values"):
        write(tmp_path, "vg_two", [[7, "A cat"]]).examples("test")
    with pytest.raises(ValueError, match="must be JSON with a list of list"):
        write(tmp_path, "vg_two", [{"image_path": "x"}]).examples("test")
    entry = controlled(A, [("mug", "table")])[0]
    with pytest.raises(ValueError, match=r"image_path=.data/mug_near_table\.jpeg. must name one of left_of"):
        write(tmp_path, "controlled_a", [entry | {"image_path": "data/mug_near_table.jpeg"}]).examples("test")
    with pytest.raises(ValueError, match="leads out of"):
        write(tmp_path, "controlled_a", [entry | {"image_path": "/x_left_of_y.jpeg"}]).examples("test")
