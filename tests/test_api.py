"""The public API, used as docs/api.md and the README say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bridgelab
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.training import main

DOCUMENT = Path(__file__).parents[1] / "docs" / "api.md"
README = Path(__file__).parents[1] / "README.md"
PACKAGE = Path(bridgelab.__file__).parent
PUBLIC = [name for name in bridgelab.__all__ if name != "__version__"]


@pytest.fixture
def run(tiny, config, tmp_path):
    directory = tmp_path / "runs" / "scratch" / "bridge=linear,train.steps=1200"
    main.run(config("bridge=linear"), directory, bridge="linear")
    return directory


@pytest.fixture
def image(run, world):
    return next((world / "images" / "test").glob("*.png"))


def test_the_examples_of_the_documents_run(run, image, simulated, tmp_path, monkeypatch, capsys):
    study = simulated.write(images=40)
    study.rename(tmp_path / "runs" / "first_look")
    Image.open(image).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text() + README.read_text().replace(
        "first_look/bridge=linear,seed=0", f"scratch/{run.name}"
    )
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    names = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "linear against qformer, " in printed
    assert "['red', 'blue']" in printed  # two images are soon learned
    assert 0 <= names["answer"].probability <= 1
    assert (tmp_path / "runs" / "first_look" / "index.html").exists()


def test_an_image_may_be_given_in_any_form(run, image):
    bridge = bridgelab.load_bridge(str(run), device="cpu")
    question = "what is it ?"
    answer = bridge.answer(image, question)
    with Image.open(image) as opened:
        pixels = np.array(opened.convert("RGB"))
        for same in (str(image), opened, opened.convert("RGBA"), pixels, [image]):
            assert bridge.answer(same, question) == answer
    assert str(answer) == answer.text
    assert answer.unknown_words == ()
    unread = bridge.answer(image, "what is the zebra ?")
    assert unread.unknown_words == ("the", "zebra")
    assert str(unread) == f"{unread.text} (asked without 'the', 'zebra', which the T5 does not know)"
    questions = [([image], "what is it ?"), ([image], "what is the zebra ?")]
    together = bridge.answer_all(questions)
    assert [one.text for one in together] == [answer.text, unread.text]
    for one, alone in zip(together, (answer, unread), strict=True):
        assert one.probability == pytest.approx(alone.probability, rel=1e-4)
        assert one.unknown_words == alone.unknown_words
    assert bridge.answer(np.zeros_like(pixels), question).probability != answer.probability


def test_an_image_is_read_with_the_features_that_the_run_would_store(run, image):
    bridge = bridgelab.load_bridge(run, device="cpu")
    store = FeatureStore(Path(bridge.config.paths.features), bridge.backbones.vision)
    stored, own = store.features([str(image)]).get([0]), bridge.answer(image, "what is it ?").batch["patches"]
    assert own.dtype == stored.dtype == torch.bfloat16
    assert (own == stored).float().mean() > 0.99  # another batch may round one that lies between two values


def test_what_is_no_image_is_refused(run):
    bridge = bridgelab.load_bridge(run, device="cpu")
    with pytest.raises(
        ValueError, match=r"the image is float64 \[8, 8, 3\]: an array must be uint8 .* give a path"
    ):
        bridge.answer(np.zeros((8, 8, 3)), "what is it ?")
    with pytest.raises(FileNotFoundError, match=r"there is no image no_such\.png"):
        bridge.answer("no_such.png", "what is it ?")


@pytest.mark.parametrize(("name", "sees"), [("blind", "nothing"), ("words", "words")])
def test_a_bridge_that_reads_no_image_is_refused(tiny, config, tmp_path, name, sees):
    directory = tmp_path / "runs" / name
    main.run(config(f"bridge={name}"), directory, bridge=name)
    with pytest.raises(ValueError, match=rf"sees {sees}, and no image. Give a run of another bridge"):
        bridgelab.load_bridge(directory, device="cpu")


def test_importing_bridgelab_loads_nothing_heavy():
    code = (
        "import sys, bridgelab; dir(bridgelab); bridgelab.__version__; "
        "heavy = {'torch', 'numpy', 'pandas', 'hydra', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there_typed_and_documented():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == dict(bridgelab._PUBLIC), "__init__.py and __init__.pyi name different things"
    assert sorted(typed) == sorted(PUBLIC)
    assert (PACKAGE / "py.typed").exists()
    rows = re.findall(r"^\| `(\w+)", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(bridgelab))
    for name in PUBLIC:
        assert getattr(bridgelab, name).__doc__, name
        assert not (PACKAGE / name).exists(), (
            f"bridgelab.{name} is a package, which an import of it would put in its place"
        )
        assert not (PACKAGE / f"{name}.py").exists()


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(
        AttributeError, match=r"module 'bridgelab' has no attribute 'load_brigde'\. .*load_bridge"
    ):
        bridgelab.load_brigde  # noqa: B018
    with pytest.raises(ImportError, match="load_brigde"):
        from bridgelab import load_brigde  # noqa: F401
