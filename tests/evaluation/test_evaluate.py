"""Trained runs on other data than they were trained for."""

import json
import shlex
import shutil

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from tiny_experiment import CONF, SMALL

from bridgelab.benchmark.example import Example
from bridgelab.cli import main as cli
from bridgelab.evaluation.evaluate import evaluate_run
from bridgelab.evaluation.trained_images import warn_of_trained_images
from bridgelab.report.provenance import reproduction
from bridgelab.runs.study import read_study
from bridgelab.training import main
from bridgelab.world.layout import TooManyWords


@pytest.fixture
def run(trained):
    return trained("runs/toy/bridge=linear,seed=0", "linear", "study=toy")


@pytest.fixture
def own_run(tiny, tmp_path, monkeypatch):
    """A run of a user's table, with its data, in a place without the built-in world."""
    monkeypatch.setenv("BRIDGELAB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    rows = []
    for number, split in enumerate(["train"] * 6 + ["val"] * 3 + ["test"] * 4):
        Image.new("RGB", (8, 8), (19 * number, 0, 0)).save(tmp_path / "mine" / f"{number}.png")
        answer = "yes" if number % 2 else "no"
        rows.append({"image": f"{number}.png", "question": "is it red ?", "answer": answer, "split": split})
    (tmp_path / "mine" / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    chosen = ("benchmark=own", f"benchmark.root={tmp_path}/mine", "study=mine", "train.lr=0.01", *SMALL[5:])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train", [*chosen, "benchmark.val_share=0.2"])
    directory = tmp_path / "runs" / "mine" / "bridge=linear,seed=0"
    main.run(composed, directory, bridge="linear")
    return directory


def test_without_a_benchmark_it_is_evaluated_on_its_own(own_run, tmp_path, capsys):
    assert cli.main(["evaluate", str(own_run), "--split", "val"]) == 0
    out = tmp_path / "runs" / "mine_on_own_val" / own_run.name
    assert capsys.readouterr().out.strip() == str(out)
    assert len(pd.read_parquet(out / "predictions.parquet").query("view == 'image'")) == 3
    assert not (tmp_path / "data" / "world").exists()
    # Data that have moved, whose other settings are the run's.
    (tmp_path / "mine").rename(tmp_path / "moved")
    moved = ["evaluate", str(own_run), f"benchmark.root={tmp_path}/moved"]
    assert cli.main(moved) == 0
    benchmark = OmegaConf.load(tmp_path / "runs" / "mine_on_own" / own_run.name / "config.yaml").benchmark
    trained = OmegaConf.load(own_run / "config.yaml").benchmark
    assert dict(benchmark) == dict(trained) | {"root": str(tmp_path / "moved")}
    assert not (tmp_path / "data" / "world").exists()
    named = ["evaluate", str(own_run), "benchmark=own", f"benchmark.root={tmp_path}/moved", "study=named"]
    assert cli.main(named) == 0
    out = tmp_path / "runs" / "named_on_own" / own_run.name
    assert OmegaConf.load(out / "config.yaml").benchmark.val_share == 0.1
    assert shlex.split(reproduction(read_study(out.parent))) == ["bridgelab", *named]


def test_on_its_own_test_split_it_says_what_its_record_says(run, config, tmp_path):
    out = evaluate_run(run, config())
    assert out == tmp_path / "runs" / "toy_on_world" / "bridge=linear,seed=0"
    own, found = (json.loads((folder / "metrics.json").read_text()) for folder in (run, out))
    assert found["metrics"] == pytest.approx(own["metrics"])
    assert found["fingerprints"] == own["fingerprints"]
    assert (found["study"], found["trained_on"]) == ("toy_on_world", "world")
    pd.testing.assert_frame_equal(*(pd.read_parquet(folder / "predictions.parquet") for folder in (run, out)))
    assert read_study(out.parent).bridges == ("linear",)
    # Trained anew, as from another alignment at the same path, it is not the bridge that was evaluated.
    assert evaluate_run(run, config()) == out
    (run / "metrics.json").write_text(json.dumps(own | {"curve": [[6, 0.5]]}))
    with pytest.raises(ValueError, match=r"is an evaluation of another training of .* Give this evaluation"):
        evaluate_run(run, config())


def test_it_reads_features_as_the_bridge_was_trained_on_them(tiny, config, tmp_path):
    directory = tmp_path / "runs" / "exact" / "bridge=linear,seed=0"
    exact = ("data.dtype=float32", "data.max_length={prompt:9,answer:5}")
    main.run(config("bridge=linear", "study=exact", "train.lr=0.01", *exact), directory, bridge="linear")
    out = evaluate_run(directory, config())
    own, found = (json.loads((folder / "metrics.json").read_text()) for folder in (directory, out))
    assert found["features_dtype"] == own["features_dtype"] == "float32"
    assert found["metrics"] == pytest.approx(own["metrics"], rel=1e-6)
    data = OmegaConf.load(out / "config.yaml").data
    assert data.max_length == {"prompt": 9, "answer": 5}
    # Unless the evaluation says otherwise, in a study of its own: the first is not another config's.
    with pytest.raises(ValueError, match=r"they differ in data\.dtype.*give this run another study=NAME"):
        evaluate_run(directory, config("data.dtype=int8"), given=["data.dtype"])
    other = config("data.dtype=int8", "data.max_length.answer=6", "study=coarse")
    out = evaluate_run(directory, other, given=["data.dtype", "data.max_length.answer", "study"])
    assert out == tmp_path / "runs" / "coarse_on_world" / directory.name
    assert OmegaConf.load(out / "config.yaml").data.max_length == other.data.max_length
    assert json.loads((out / "metrics.json").read_text())["features_dtype"] == "int8"


def test_another_evaluation_of_the_same_run_has_a_study_of_its_own(run, config, tmp_path, capsys):
    data = (f"benchmark.root={config().benchmark.root}", *SMALL[:6], f"paths.features={tmp_path}/features")
    evaluated = [str(run), *(one for one in data if one.startswith(("benchmark", "paths")))]
    assert cli.main(["evaluate", *evaluated]) == 0
    assert cli.main(["evaluate", *evaluated, "evaluate.num_beams=2"]) == 2
    told = capsys.readouterr().err
    assert (
        "they differ in evaluate.num_beams). One directory holds one config: give this run another study=NAME"
        in told
    )
    assert "bridgelab evaluate" not in told.split("differ in")[1]  # an evaluation can't be evaluated
    assert cli.main(["evaluate", *evaluated, "evaluate.num_beams=2", "study=beams"]) == 0
    assert capsys.readouterr().out.strip().endswith("beams_on_world/bridge=linear,seed=0")


def test_on_a_shifted_split(run, config, tmp_path):
    captioned = "evaluate.captioned=describe left to right"
    shifted = config("+benchmark.images={test-many: 3}", captioned)
    out = evaluate_run(run, shifted, split="test-many", given=["benchmark.images"])
    assert out.parent.name == "toy_on_world_test-many"
    rows = pd.read_parquet(out / "predictions.parquet")
    assert set(rows["tag_shift"]) == {"many"}
    assert rows.query("kind == 'answer'")["majority"].notna().all()  # counted in the world's train split
    # Its questions are answered from the bridge's own captions too.
    asked, answered = (
        rows.query(f"kind == 'answer' and view == '{view}'") for view in ("image", "captioned")
    )
    assert sorted(answered["id"]) == sorted(asked["id"])
    assert "test_captioned/accuracy" in json.loads((out / "metrics.json").read_text())["metrics"]
    with pytest.raises(
        ValueError, match=r"evaluate\.captioned='draw': must be one of .*describe left to right"
    ):
        evaluate_run(run, config("evaluate.captioned=draw", "study=drawn"), given=["study"])


def test_a_matryoshka_bridge_is_evaluated_with_as_many_tokens_as_are_asked_for(
    tiny, tiny_vision, config, tmp_path, run, monkeypatch
):
    with pytest.raises(ValueError, match=r"evaluate\.tokens=1: Linear is trained for one number of tokens"):
        evaluate_run(run, config("evaluate.tokens=1"))
    monkeypatch.setattr(tiny_vision, "dim", 8)
    monkeypatch.setattr(tiny_vision, "weight", torch.randn(3, 8))
    trained = tmp_path / "runs" / "nested" / "bridge=matryoshka,seed=0"
    chosen = ("bridge=matryoshka", "bridge.num_queries=4", f"paths.features={tmp_path}/wider")
    main.run(config(*chosen, "study=nested", "train.lr=0.01"), trained, bridge="matryoshka")
    first = json.loads((trained / "metrics.json").read_text())
    assert first["costs"]["visual_tokens"] == 4
    state = torch.load(trained / "last.ckpt", weights_only=True)["state_dict"]
    assert state["model.bridge.steps"] == 7  # the check of the start, and six steps
    # A run that is asked for it is trained as any other: its start, scale and validation have all tokens.
    limited = trained.parent.with_name("limited") / trained.name
    asked = config(*chosen, "study=limited", "train.lr=0.01", "evaluate.tokens=2")
    main.run(asked, limited, bridge="matryoshka")
    two_tokens = json.loads((limited / "metrics.json").read_text())
    assert (two_tokens["costs"]["visual_tokens"], two_tokens["curve"]) == (2, first["curve"])
    of_limited = torch.load(limited / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(of_limited[name], value) for name, value in state.items())
    for tokens, name in ((None, "nested_on_world"), (2, "nested_on_world_with_2_tokens")):
        asked = config(chosen[2], f"evaluate.tokens={tokens or 'null'}")
        out = evaluate_run(trained, asked)
        assert out.parent.name == name
        record = json.loads((out / "metrics.json").read_text())
        assert record["costs"]["visual_tokens"] == (tokens or 4)
        same = record["metrics"] == pytest.approx(first["metrics"])
        assert same == (tokens is None)
        if tokens == 2:
            assert record["metrics"] == pytest.approx(two_tokens["metrics"])
    with pytest.raises(ValueError, match=r"evaluate\.tokens=5: this bridge has 4 queries"):
        evaluate_run(trained, config(chosen[2], "evaluate.tokens=5"))


def test_the_ceiling_is_evaluated_too_though_nothing_was_trained(tiny, config, tmp_path):
    directory = tmp_path / "runs" / "toy" / "bridge=words,seed=0"
    main.run(config("bridge=words", "study=toy"), directory, bridge="words")
    assert not (directory / "last.ckpt").exists()
    asked = config("+benchmark.images={test-many: 3}", "question=What of many objects ?")
    out = evaluate_run(directory, asked, split="test-many", given=["benchmark.images"])
    record = json.loads((out / "metrics.json").read_text())
    assert (record["trained_in"], record["question"]) == ("toy", "What of many objects ?")
    assert (record["benchmark"], record["split"]) == ("world_test-many", "test-many")
    assert record["costs"]["trainable_parameters"] == 0
    own = evaluate_run(directory, config())
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (directory, own))
    assert second["metrics"] == pytest.approx(first["metrics"])


def test_a_ceiling_without_a_place_for_every_word_is_left_out(tiny, config, tmp_path, monkeypatch, capsys):
    ceilings = []
    for bridge in ("words_patch_like", "words"):
        ceilings.append(tmp_path / "runs" / "toy" / f"bridge={bridge},seed=0")
        main.run(config(f"bridge={bridge}", "study=toy"), ceilings[-1], bridge=bridge)
    asked = config("+benchmark.images={test-many: 3}")
    with pytest.raises(TooManyWords, match=r"objects take \d+ positions of 64"):
        evaluate_run(ceilings[0], asked, split="test-many", given=["benchmark.images"])
    assert not (tmp_path / "runs" / "toy_on_world_test-many" / ceilings[0].name).exists()
    monkeypatch.setattr("bridgelab.cli.evaluate.composed", lambda choices: asked)
    assert cli.main(["evaluate", *map(str, ceilings), "benchmark=world", "--split", "test-many"]) == 0
    out, err = capsys.readouterr()
    assert f"{ceilings[0]} is left out: " in err
    assert out.strip().endswith(f"toy_on_world_test-many/{ceilings[1].name}")


def test_on_a_benchmark_for_evaluation_only_from_the_command_line(
    run, tiny, config, tmp_path, monkeypatch, capsys, caplog
):
    (tmp_path / "coco" / "pope").mkdir(parents=True)
    (tmp_path / "coco" / "val2014").mkdir()
    for k in range(2):
        name = f"COCO_val2014_{k:012d}.jpg"
        Image.new("RGB", (8, 8), (90 * k, 0, 0)).save(tmp_path / "coco" / "val2014" / name)
    for setting in ("random", "popular", "adversarial"):
        lines = [
            json.dumps(
                {
                    "question_id": k,
                    "image": f"COCO_val2014_{k:012d}.jpg",
                    "text": "is it red ?",
                    "label": label,
                }
            )
            for k, label in enumerate(("yes", "no"))
        ]
        (tmp_path / "coco" / "pope" / f"coco_pope_{setting}.json").write_text("\n".join(lines))
    main.run(config("bridge=words", "study=toy"), run.parent / "bridge=words,seed=0", bridge="words")
    (run.parent / "tune").mkdir()  # of the study, which runs/toy/* names as well
    half = run.parent / "bridge=a,seed=0"  # it trains, or was stopped
    half.mkdir()
    shutil.copy(run / "config.yaml", half)
    shutil.copy(run / "last.ckpt", half)
    for file in ("multirun.yaml", "figure.png"):
        (run.parent / file).touch()
    named = [str(path) for path in sorted(run.parent.iterdir()) if not path.name.startswith(".")]
    given = [*named, "benchmark=pope", f"benchmark.root={tmp_path}/coco", f"paths.features={tmp_path}/f"]
    assert cli.main(["evaluate", *given]) == 0
    said = capsys.readouterr()
    assert said.out.strip().endswith("toy_on_pope/bridge=linear,seed=0")
    for name in ("tune", half.name):
        assert f"{name} is not a finished run, as it has no metrics.json: left out" in said.err
    assert not (tmp_path / "runs" / "toy_on_pope" / half.name).exists()
    assert "bridge=words,seed=0 is left out: benchmark pope has images without" in said.err
    assert not (tmp_path / "runs" / "toy_on_pope" / "bridge=words,seed=0").exists()
    record = json.loads((tmp_path / "runs" / "toy_on_pope" / run.name / "metrics.json").read_text())
    assert {"test/accuracy", "test/yes_ratio", "test_shuffled/accuracy"} <= set(record["metrics"])
    assert "test/majority" not in record["metrics"]
    assert "COCO images" not in caplog.text
    before = (tmp_path / "runs" / "toy_on_pope" / run.name / "metrics.json").stat().st_mtime_ns
    assert cli.main(["evaluate", *given]) == 0  # it is there
    assert (tmp_path / "runs" / "toy_on_pope" / run.name / "metrics.json").stat().st_mtime_ns == before


def test_photographs_of_training_under_another_name_are_told(tmp_path, caplog):
    for k in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{k:012d}.jpg")
    rows = [
        {"image": f"{k:012d}.jpg", "caption": "a thing", "split": split}
        for k, split in enumerate(("train", "val", "test"))
    ]
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    trained = OmegaConf.create(
        {"_target_": "bridgelab.benchmark.own.Own", "root": str(tmp_path), "name": "mine"}
    )
    names = [f"/x/COCO_val2014_{k:012d}.jpg" for k in (0, 2)]
    tests = [Example(name, (name,), "is it ?", ("yes",), "answer") for name in names]
    warn_of_trained_images(trained, tests[1:])
    assert not caplog.text
    warn_of_trained_images(trained, tests)
    assert "1 of 2 COCO images of this split are among the training images of mine" in caplog.text
    (tmp_path / "table.jsonl").unlink()
    warn_of_trained_images(trained, tests)
    assert "is not known" in caplog.text


def test_training_examples_are_read_first_and_without_them_the_majority_floor_is_left_out(
    run, tiny_vision, tmp_path, capsys, caplog
):
    for part in ("train", "test"):
        (tmp_path / "easy" / part / "images").mkdir(parents=True)
    (tmp_path / "easy" / "answers.txt").write_text("yes no")
    for k in range(2):
        Image.new("RGB", (8, 8), (90 * k, 0, 0)).save(tmp_path / "easy" / "test" / "images" / f"{k}.png")
    questions = [["is it red ?", "no", 0], ["is it red ?", "yes", 1]]
    (tmp_path / "easy" / "test" / "questions.json").write_text(json.dumps(questions))
    train = tmp_path / "easy" / "train" / "questions.json"
    train.write_text("[[]]")
    given = [
        str(run),
        "benchmark=easy_vqa",
        f"benchmark.root={tmp_path}/easy",
        f"paths.features={tmp_path}/f",
    ]
    before = tiny_vision.seen
    assert cli.main(["evaluate", *given]) == 2
    assert f"{train} can't be read" in capsys.readouterr().err
    assert tiny_vision.seen == before
    train.unlink()
    assert cli.main(["evaluate", *given]) == 0
    assert (
        f"the majority floor is left out, since the training examples can't be read: {train}" in caplog.text
    )
    out = tmp_path / "runs" / "toy_on_easy_vqa" / run.name
    metrics = json.loads((out / "metrics.json").read_text())["metrics"]
    assert "test/accuracy" in metrics
    assert "test/majority" not in metrics
    assert pd.read_parquet(out / "predictions.parquet")["majority"].isna().all()


def test_bad_input(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(tmp_path / "nowhere"), "benchmark=pope"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert cli.main(["evaluate", str(run / "config.yaml"), "benchmark=pope"]) == 2
    assert "config.yaml is a file." in capsys.readouterr().err
    assert cli.main(["evaluate", str(run), "benchmark=pop"]) == 2
    assert "Did you mean 'pope'?" in capsys.readouterr().err
