"""V*Bench's reader on folders in its layout."""

import json

import pytest

from bridgelab.benchmark.vstar_bench import TYPES, VStarBench


@pytest.fixture
def root(tmp_path):
    for kind in (*TYPES, "OCR"):
        (tmp_path / kind).mkdir()
        for k in range(3):
            (tmp_path / kind / f"sa_{k}.{('jpg', 'png', 'JPG')[k]}").touch()
            annotation = {
                "target_object": ["dog"], "bbox": [[1, 2, 3, 4]], "question": f"What is the color of dog {k}?",
                "options": [f"The color is {c}." for c in ("red", "blue", "white", "black")],
            }  # fmt: skip
            (tmp_path / kind / f"sa_{k}.json").write_text(json.dumps(annotation))
    return tmp_path


def test_questions(root):
    benchmark = VStarBench(root, name="vstar_bench", prompt="{question} Say.")
    examples = benchmark.examples("test")
    assert [e.id for e in examples] == [f"{kind}/sa_{k}" for kind in TYPES for k in range(3)]
    assert examples[1].images == (str(root / "direct_attributes" / "sa_1.png"),)
    assert (examples[1].prompt, examples[1].answers) == (
        "What is the color of dog 1? Say.",
        ("The color is red.",),
    )
    assert len(set(examples[1].choices)) == 4
    assert {e.choices.index(e.answers[0]) for e in examples} != {0}
    metric = benchmark.metrics()["choice"]
    metric.update(["The color is red."] * 3 + ["The color is blue."] * 3, examples)
    assert metric.compute() == {
        "accuracy": 0.5,
        "accuracy/type=direct_attributes": 1,
        "accuracy/type=relative_position": 0,
    }


def test_bad_input(root):
    benchmark = VStarBench(root, name="vstar_bench", prompt="{question}")
    path = root / "relative_position" / "sa_0.json"
    path.write_text('{"question": "Where?"}')
    with pytest.raises(ValueError, match=r"sa_0\.json can't be read \(KeyError: 'options'\)"):
        benchmark.examples("test")
    path.write_text('{"question": "Where?", "options": "left"}')
    with pytest.raises(
        ValueError, match=r"sa_0\.json can't be read \(TypeError: choices='left' must be a list"
    ):
        benchmark.examples("test")
    (root / "direct_attributes" / "sa_1.png").rename(root / "sa_1.png")
    with pytest.raises(
        FileNotFoundError, match=r"direct_attributes/sa_1\.json has no image beside it\. Get the"
    ):
        benchmark.examples("test")
    (root / "sa_1.png").rename(root / "direct_attributes" / "sa_1.png")
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"sa_0\.json is missing\. Expected layout: \{direct_attributes"
    ):
        benchmark.examples("test")
    with pytest.raises(FileNotFoundError, match="direct_attributes is missing"):
        VStarBench(root / "OCR", name="vstar_bench", prompt="{question}").examples("test")
