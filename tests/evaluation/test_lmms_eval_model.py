"""The real lmms-eval, offline, on a task of the run's own test examples. `make test-lmms-eval` installs it."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Sequence, Value
from hydra import compose, initialize_config_dir

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.evaluation.predict import predict
from bridgelab.evaluation.trained_bridge import load_bridge
from bridgelab.runs.predictions import read_rows
from bridgelab.training import main

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("lmms_eval") is None,
        reason="lmms-eval is not installed: make test-lmms-eval",
    ),
    pytest.mark.filterwarnings("ignore"),  # of lmms-eval and what it imports
]
COLORS = ["red", "blue", "yes", "no"]
FUNCTIONS = """
def images(doc):
    return [doc["image"].convert("RGB")]
"""
TASK = """
task: {name}
dataset_path: {data}
dataset_kwargs: {{load_from_disk: true}}
test_split: test
output_type: {kind}
doc_to_visual: !function functions.images
doc_to_text: question
"""
# The run's own limit: a word and the end token, and `predict.ROOM`.
WRITTEN = """
doc_to_target: answer
generation_kwargs: {max_new_tokens: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
CHOSEN = """
doc_to_choice: choices
doc_to_target: right
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home):
    """A short training of the miniature pair, whose answers are right in part.

    In fp32, because in bf16 the padding of a batch changes likelihoods by more than near ties differ.
    """
    choices = (
        "bridge=linear", "train.steps=60", "train.batch_size=16", "train.lr=0.01", "train.stages=[{answer:1}]", "train.budgets=[]", "train.precision=fp32",
        "train.val_points=1", "evaluate.shuffled=false", "evaluate.limit.caption=2", f"benchmark.root={home}/world",
        "benchmark.images={train:12,val:3,test:10}", "benchmark.processes=1", "benchmark.questions_per_image=3",
        f"paths.features={home}/features",
    )  # fmt: skip
    with initialize_config_dir(str(main.ROOT / "conf"), version_base="1.3"):
        config = compose("train", list(choices))
    directory = home / "runs" / "bridge=linear,seed=0"
    main.run(config, directory, bridge="linear")
    return directory


@pytest.fixture(scope="module")
def answered(run):
    rows = read_rows(run)
    return rows[(rows["kind"] == "answer") & (rows["view"] == "image")].reset_index(drop=True)


@pytest.fixture(scope="module")
def tasks(answered, home):
    """Write the run's test questions as two tasks, to be answered and with four choices."""
    features = {
        "image": Image(),
        "question": Value("string"),
        "answer": Value("string"),
        "right": Value("int64"),
    }
    columns = {
        "image": [str(home / "world" / "images" / name) for name in answered["image"]],
        "question": list(answered["prompt"]),
        "answer": list(answered["target"]),
        "choices": [COLORS] * len(answered),
        "right": [row % 4 for row in range(len(answered))],
    }
    data = Dataset.from_dict(columns, Features(features | {"choices": Sequence(Value("string"))}))
    DatasetDict({"test": data}).save_to_disk(home / "data")
    folder = home / "tasks"
    folder.mkdir()
    (folder / "functions.py").write_text(FUNCTIONS)
    for name, kind, rest in (("written", "generate_until", WRITTEN), ("chosen", "multiple_choice", CHOSEN)):
        head = TASK.format(name=name, data=home / "data", kind=kind)
        (folder / f"{name}.yaml").write_text(head + rest)
    return folder


@pytest.fixture
def evaluated(run, tasks, monkeypatch):
    """Return a function that gives lmms-eval's results of a task."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.setenv(name, "1")
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    def evaluate(task):
        return simple_evaluate(
            "bridgelab",
            model_args=f'run="{run}"',
            tasks=[task],
            batch_size=5,
            device="cpu",
            bootstrap_iters=0,
            task_manager=TaskManager(include_path=str(tasks), model_name="bridgelab"),
            cli_args=SimpleNamespace(process_with_media=False),
        )

    return evaluate


def test_its_accuracy_is_ours(run, answered, evaluated):
    from lmms_eval.models import get_model

    from bridgelab.evaluation.lmms_eval_model import BridgelabModel

    assert get_model("bridgelab") is BridgelabModel  # by the entry point
    results = evaluated("written")
    samples = sorted(results["samples"]["written"], key=lambda sample: sample["doc_id"])
    assert [sample["filtered_resps"][0] for sample in samples] == answered["prediction"].tolist()
    ours = json.loads((run / "metrics.json").read_text())["metrics"]["test/accuracy"]
    assert 0 < ours < 1
    assert results["results"]["written"]["exact_match,none"] == pytest.approx(ours)


def test_of_choices_it_takes_the_likeliest_as_we_do(run, answered, evaluated, home):
    bridge = load_bridge(run, "cpu")
    paths = [str(home / "world" / "images" / name) for name in answered["image"]]
    examples = [
        Example(str(row), (path,), prompt, (COLORS[row % 4],), "choice", choices=tuple(COLORS))
        for row, (path, prompt) in enumerate(zip(paths, answered["prompt"], strict=True))
    ]
    distinct = sorted(set(paths))
    features = FeatureStore(home / "features", bridge.backbones.vision).features(distinct)
    rows = {path: row for row, path in enumerate(distinct)}
    tokenized = TokenizedExamples(examples, bridge.backbones.text, rows, features.get)
    predictions = predict(bridge.model, tokenized, range(len(examples)), batch_size=4)
    right = np.mean(
        [one.text == example.answers[0] for one, example in zip(predictions, examples, strict=True)]
    )
    results = evaluated("chosen")
    assert 0 < right < 1
    assert results["results"]["chosen"]["acc,none"] == pytest.approx(right)
    samples = sorted(results["samples"]["chosen"], key=lambda sample: sample["doc_id"])
    losses = [[float(loss) for loss, _ in sample["filtered_resps"]] for sample in samples]
    np.testing.assert_allclose(
        losses, [[-value for value in one.likelihoods] for one in predictions], atol=1e-4
    )


@pytest.fixture
def model(run):
    from bridgelab.evaluation.lmms_eval_model import BridgelabModel

    return BridgelabModel(run=str(run), batch_size=2, device="cpu")


def asked(model, images, *middle):
    """A request about images, as tasks make it."""
    model.task_dict = {"own": {"test": [{"images": images}]}}
    return SimpleNamespace(args=(*middle, lambda doc: doc["images"], 0, "own", "test"))


def test_text_is_cut_as_the_task_asks(model, monkeypatch):
    words = "red cube what is it"
    monkeypatch.setattr(
        model.bridge, "answer_all", lambda asked: [SimpleNamespace(text=words) for _ in asked]
    )
    image = np.zeros((8, 8, 3), np.uint8)
    for options, text in (
        ({}, words),
        ({"max_new_tokens": 2, "do_sample": False, "temperature": 0}, "red cube"),
        ({"max_new_tokens": 5}, words),
        ({"until": "what"}, "red cube "),
        ({"until": ["it", " cube"]}, "red"),
    ):
        assert model.generate_until([asked(model, [image], "what is it ?", options)] * 3) == [text] * 3


def test_what_a_bridge_cannot_do_is_refused(model, run):
    from bridgelab.evaluation.lmms_eval_model import BridgelabModel

    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"temperature=0\.7 is not greedy, .* Set temperature to 0"):
        model.generate_until([asked(model, [image], "what ?", {"temperature": 0.7})])
    with pytest.raises(ValueError, match="own, test 0: there is no image, and a bridge needs one"):
        model.generate_until([asked(model, [], "what ?", {})])
    with pytest.raises(ValueError, match="one question, without a dialogue"):
        model.generate_until_multi_round([])
    with pytest.raises(ValueError, match="batch_size='auto' must be a number, at least 1"):
        BridgelabModel(run=str(run), batch_size="auto")
