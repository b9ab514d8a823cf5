"""docs/own_data.md, from an empty folder to a verdict: a thousand examples through the miniature pair, and a class outside the package."""

import contextlib
import json
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from bridgelab.cli.main import main as bridgelab
from bridgelab.config.instantiate import build
from bridgelab.evaluation.load import load_trained
from bridgelab.training import main

DOCUMENT = Path(__file__).parents[1] / "docs" / "own_data.md"
DRAW, OWN_CLASS = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line)[1:] for line in re.findall(r"^(bridgelab .*)$", DOCUMENT.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the document's user, who has run the first script and saved the class."""
    folder = tmp_path_factory.mktemp("user")
    with contextlib.chdir(folder):
        exec(compile(DRAW, "draw.py", "exec"), {})  # noqa: S102
    (folder / "my_benchmark.py").write_text(OWN_CLASS)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    sys.modules.pop("my_benchmark", None)


def train(directory, *overrides):
    with initialize_config_dir(str(main.ROOT / "conf"), version_base="1.3"):
        config = compose("train", list(overrides))
    main.run(config, directory, bridge=config.bridge._target_.rpartition(".")[2].lower())
    return json.loads((directory / "metrics.json").read_text())


@pytest.mark.slow
def test_a_thousand_examples_from_the_folder_to_the_report(here, capsys):
    assert ["check-data", "shapes"] in COMMANDS
    assert bridgelab(["check-data", "shapes"]) == 0
    told = capsys.readouterr().out
    counts = re.findall(r"^(\w+) +(\d+) of kind (\w+) about (\d+) images$", told, re.MULTILINE)
    assert sum(int(number) for _, number, _, _ in counts) == 1000
    assert {(split, int(images)) for split, _, _, images in counts} == {
        ("train", 180),
        ("val", 20),
        ("test", 50),
    }
    assert (here / "own_examples.png").exists()
    (sweep,) = [line for line in COMMANDS if line[:2] == ["train", "-m"] and "study=shapes" in line]
    fixed = [word for word in sweep[2:] if not word.startswith(("bridge=", "seed=", "train.steps="))]
    for name in ("linear", "blind"):
        record = train(
            here / "runs" / "shapes" / name, *fixed, f"bridge={name}", "train.steps=4", "train.batch_size=16"
        )
        assert record["benchmark"] == "own"
        assert record["splits"] == "made by image: test has 0.2 of all, val 0.1 of the others, seed 0"
        assert {f"test/accuracy/type={kind}" for kind in ("exist", "count", "color")} <= record[
            "metrics"
        ].keys()
        rows = pd.read_parquet(here / "runs" / "shapes" / name / "predictions.parquet").query(
            "view == 'image'"
        )
        assert rows.groupby("kind").size().to_dict() == {"answer": 150, "choice": 50}
        chosen = rows[rows["kind"] == "choice"]
        assert set(chosen["prediction"]) <= {"red", "green", "blue", "yellow"}
        assert all(len(each) == 2 for each in chosen["likelihoods"])
    assert bridgelab(["report", "runs/shapes"]) == 0
    page = (here / "runs" / "shapes" / "index.html").read_text()
    table = (here / "runs" / "shapes" / "table.md").read_text()
    assert all(kind in table and kind in page for kind in ("exist", "count", "color"))


def test_a_benchmark_class_outside_of_the_package(here, tiny, tmp_path, capsys, monkeypatch):
    """It is imported from the working folder; of somebody else's run only if it is trusted."""
    own = next(line for line in COMMANDS if "benchmark=own_class" in line)[1:]
    assert "benchmark._target_=my_benchmark.MyBenchmark" in own
    assert bridgelab(["check-data", *own]) == 0
    assert "benchmark   mine, MyBenchmark" in capsys.readouterr().out
    small = (
        "train.lr=0.01",
        "train.steps=4",
        "train.batch_size=6",
        "train.val_points=2",
        "train.precision=fp32",
    )
    limit = ("evaluate.limit.answer=20", "train.val_limit.answer=20", f"paths.features={tmp_path}")
    run = here / "runs" / "mine" / "one"
    record = train(run, *own, *small, *limit, "bridge=linear", "+benchmark.prompt='q : {question}'")
    assert record["benchmark"] == "mine"
    assert "test/accuracy/type=count" in record["metrics"]
    assert pd.read_parquet(run / "predictions.parquet")["prompt"].str.startswith("q : ").all()
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("my_benchmark")
    sys.path[:] = [one for one in sys.path if one != str(here)]
    with pytest.raises(
        ValueError, match=r"benchmark\._target_=my_benchmark\.MyBenchmark is code .*add --trust"
    ):
        load_trained(run)
    assert "my_benchmark" not in sys.modules
    config, _, _ = load_trained(run, trust=True)
    assert type(build(config.benchmark, "benchmark")).__name__ == "MyBenchmark"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('tags=row["tags"]', 'tags=row["tags"] | {"level": (3, "3")[number % 2]}'), r"mine, train: tag level is '3' in example \d+ and 3 in"),
        (('row["image"]),)', 'row["image"]),) * (1 + number % 2)'), r"differ in their number of images, 1 in example \d+ of train and 2 in"),
    ],
)  # fmt: skip
def test_data_that_training_refuses_are_told(here, tmp_path, monkeypatch, capsys, change, message):
    assert change[0] in OWN_CLASS
    (tmp_path / "my_benchmark.py").write_text(OWN_CLASS.replace(*change))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = ["benchmark=own_class", "benchmark._target_=my_benchmark.MyBenchmark"]
    assert bridgelab(["check-data", *own, f"benchmark.root={here}/shapes"]) != 0
    told = capsys.readouterr().out
    assert re.search(rf"wrong .*{message}", told)
    assert "nothing is wrong" not in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("def examples", "def exmaples"), r"my_benchmark\.MyBenchmark may not be built: .*a class of your own with examples\(\) and metrics\(\)"),
        (('kinds = ("answer",)', 'kinds = ("answers",)'), r"MyBenchmark\.kinds=\('answers',\): must be a tuple of"),
        (("import json", "import jsn"), r"my_benchmark\.MyBenchmark could not be imported .*No module named 'jsn'"),
        (("kind=kind", "kind='caption'"), r"MyBenchmark\.examples\('train', 'answer'\) gives Example"),
        (("id=str(number)", "id='1'"), r"MyBenchmark\.examples\('train', 'answer'\): id '1' occurs"),
        (("*, prompt", "*, template='', prompt"), r"promt: MyBenchmark takes no such argument, it takes root, template, prompt"),
    ],
    ids=lambda change: change[1] if isinstance(change, tuple) else "",
)  # fmt: skip
def test_a_class_that_breaks_the_contract_is_refused(here, tiny, tmp_path, monkeypatch, change, message):
    assert change[0] in OWN_CLASS
    (tmp_path / "my_benchmark.py").write_text(OWN_CLASS.replace(*change))
    monkeypatch.syspath_prepend(tmp_path)
    wrong = ["+benchmark.promt=x"] if "promt" in message else []
    own = [
        "benchmark=own_class",
        "benchmark._target_=my_benchmark.MyBenchmark",
        f"benchmark.root={here}/shapes",
    ]
    if "MyBenchmark.examples" not in message.replace("\\", ""):  # its data are read after the models
        monkeypatch.setattr(
            "bridgelab.training.experiment.Backbones", lambda *_: pytest.fail("models are read")
        )
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", *own, *wrong, "bridge=linear", f"paths.features={tmp_path}")
