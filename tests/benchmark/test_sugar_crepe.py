"""SugarCrepe's reader on files in its layout, and accuracy by category against counting."""

import json

import pytest

from bridgelab.benchmark.sugar_crepe import TYPES, SugarCrepe


def write(root, **changed):
    for kind in TYPES:
        content = {
            str(k): {
                "filename": f"{k:012d}.jpg",
                "caption": f"A {k} of {kind}.",
                "negative_caption": f"No {k} of {kind}.",
            }
            for k in range(4)
        }
        (root / f"{kind}.json").write_text(json.dumps(changed.get(kind, content)))
    return SugarCrepe(root, name="sugar_crepe", prompt="say", images="coco")


def test_pairs(tmp_path):
    examples = write(tmp_path).examples("test")
    first = examples[0]
    assert first.id == "replace_obj-0"
    assert first.images == (str(tmp_path / "coco" / "000000000000.jpg"),)
    assert (first.prompt, first.answers) == ("say", ("A 0 of replace_obj.",))
    assert set(first.choices) == {"A 0 of replace_obj.", "No 0 of replace_obj."}
    assert first.tags == {"type": "replace_obj", "change": "replace"}
    assert {e.choices.index(e.answers[0]) for e in examples} == {0, 1}


def test_accuracy_by_category(tmp_path):
    benchmark = write(tmp_path)
    examples, metric = benchmark.examples("test"), benchmark.metrics()["choice"]
    metric.update(
        [f"A {e.id[-1]} of {e.tags['type']}." if e.id[-1] < "3" else "?" for e in examples], examples
    )
    values = metric.compute()
    assert values.keys() == {"accuracy", *(f"accuracy/type={kind}" for kind in TYPES)} | {
        f"accuracy/change={change}" for change in ("replace", "swap", "add")
    }
    assert set(values.values()) == {0.75}


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"replace_obj\.json is missing"):
        SugarCrepe(tmp_path, name="sugar_crepe", prompt="say").examples("test")
    with pytest.raises(
        ValueError, match=r"add_att\.json: entry 0 is malformed \(KeyError: 'negative_caption'\)"
    ):
        write(tmp_path, add_att={"0": {"filename": "x.jpg", "caption": "A."}}).examples("test")
    with pytest.raises(
        ValueError, match=r"must be JSON with an object of entries by number\. It holds a list"
    ):
        write(tmp_path, add_att=[1]).examples("test")
