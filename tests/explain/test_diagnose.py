"""Diagnosis of trained runs, from the command to the record."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.gqa_metric import GqaMetric
from bridgelab.explain import run_diagnosis
from bridgelab.explain.diagnose import NUM_MAPPED, diagnose, questions_to_map, runs_to_diagnose
from bridgelab.explain.run_diagnosis import Amounts, diagnose_run, diagnosis_identity, is_diagnosis_of
from bridgelab.report.diagnosis.record import Diagnosis, Map, read_diagnosis, write_diagnosis
from bridgelab.runs.identity import claim
from bridgelab.runs.reuse import copy_finished_run

AMOUNTS = Amounts(questions=8, images=4, fit=6)


@pytest.fixture
def study(trained, tmp_path):
    for bridge in ("linear", "qformer_question", "blind"):
        trained(f"runs/tried/bridge={bridge},seed=0", bridge, "study=tried")
    return tmp_path / "runs" / "tried"


def test_all_bridges_of_a_study_that_see_images(study, tmp_path, monkeypatch):
    with open(tmp_path / "printed", "w") as file:
        diagnose([study], AMOUNTS, console=Console(file=file, width=200))
    printed = (tmp_path / "printed").read_text()
    assert "Selection (causal)" in printed
    assert (study / "diagnosis.png").exists()
    linear, text = (
        read_diagnosis(study / f"bridge={name},seed=0") for name in ("linear", "qformer_question")
    )
    assert read_diagnosis(study / "bridge=blind,seed=0") is None
    assert linear.counts["tokens"] == 4  # one per patch
    assert set(text.numbers) - set(linear.numbers) == {
        "attention/visited",
        "attention/others",
        "attention/background",
        "question/own",
        "question/another",
        "question/loss",
        "question/likelihood_loss",
    }
    assert "Question: 8 questions, to the bridges that are told them." in " ".join(printed.split())
    shares = [text.numbers[f"attention/{name}"].value for name in ("visited", "others", "background")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)  # each is rounded to six places
    for name in (
        "selection/visited",
        "clutter/cost",
        "probe/tokens/color",
        "background/beside/shape",
        "words/gap",
    ):
        assert name in linear.numbers
    assert linear.left_out == {}
    assert [one.id for one in linear.maps] == [one.id for one in text.maps]
    assert linear.maps[0].fall.shape == (2, 2)
    assert linear.maps[0].attention is None
    assert text.maps[0].attention.sum() == pytest.approx(1, abs=1e-4)

    before = {path: path.stat().st_mtime_ns for path in study.glob("*/diagnosis.json")}
    monkeypatch.chdir(study / "bridge=linear,seed=0")
    with open(tmp_path / "again", "w") as file:
        diagnose([Path(), study / "bridge=linear,seed=0"], AMOUNTS, console=Console(file=file, width=200))
    again = (tmp_path / "again").read_text()
    assert "bridge=linear,seed=0: 1 of 1, diagnosed already" in again
    assert "tried: inside the bridges" in again
    assert before == {path: path.stat().st_mtime_ns for path in study.glob("*/diagnosis.json")}

    # As if a row that was added since had changed the questions to map.
    write_diagnosis(study / "bridge=linear,seed=0", replace(linear, maps=linear.maps[1:]))
    with open(tmp_path / "added", "w") as file:
        diagnose([study], AMOUNTS, console=Console(file=file, width=200))
    added = (tmp_path / "added").read_text()
    assert "bridge=linear,seed=0: 1 of 2\n" in added
    assert "bridge=qformer_question,seed=0: 2 of 2, diagnosed already" in added
    found = read_diagnosis(study / "bridge=linear,seed=0")
    assert [one.id for one in found.maps] == [one.id for one in text.maps]


def test_a_diagnosis_that_was_copied_with_its_run_is_of_that_run(tmp_path):
    """By `paths.reuse`, into a study of another name, which is part of the hash that the diagnosis has."""
    shared = {
        "seed": 0,
        "question": None,
        "hypothesis": None,
        "verdict": {"baseline": "linear", "delta": 0.02},
    }
    first, second = (OmegaConf.create({"study": name} | shared) for name in ("a", "b"))
    run, copy, again = tmp_path / "a" / "seed=0", tmp_path / "b" / "seed=0", tmp_path / "b" / "trained"
    for folder, config in ((run, first), (again, second)):
        claim(folder, config)
        (folder / "metrics.json").write_text(f'{{"study": "{config.study}"}}')
    copy_finished_run(run, copy, second, bridge="linear")
    found = Diagnosis("linear", 0, 0, "world", diagnosis_identity(run, AMOUNTS))
    assert is_diagnosis_of(found, run, AMOUNTS)
    assert is_diagnosis_of(found, copy, AMOUNTS)
    assert not is_diagnosis_of(found, copy, replace(AMOUNTS, images=5))
    assert not is_diagnosis_of(found, again, AMOUNTS)


def test_questions_about_two_images_are_not_to_be_mapped(simulated):
    """Else their runs, which have no maps of them, would be diagnosed at each call."""
    study = simulated.write(images=10)
    assert len(questions_to_map(study)) == NUM_MAPPED
    for path in study.glob("*/predictions.parquet"):
        rows = pd.read_parquet(path)
        pairs = rows["id"].str.startswith(("0-", "1-", "2-", "3-", "4-"))
        rows.loc[pairs, "image"] += "|other.png"
        rows.to_parquet(path)
    mapped = questions_to_map(study)
    assert 0 < len(mapped) < NUM_MAPPED
    assert all(int(one.split("-")[0]) > 4 for one in mapped)


def test_where_nobody_says_what_an_image_shows_the_rest_is_told(study, monkeypatch):
    monkeypatch.setattr(run_diagnosis, "target", lambda *_: object)  # as if the benchmark had another layout
    result = diagnose_run(study / "bridge=linear,seed=0", AMOUNTS)
    assert set(result.left_out) == {"selection", "attention", "background", "probes", "clutter"}
    assert result.left_out["selection"] == "world has no scenes and programs in CLEVR's layout"
    assert {name.split("/")[0] for name in result.numbers} == {"rank", "words"}
    assert result.maps == ()


def test_a_map_is_of_the_question_of_its_kind(monkeypatch):
    """Questions of two kinds may share an id, and each kind is answered in its own way."""
    choices = {"answer": (), "choice": ("red", "blue"), "caption": ()}
    examples = {
        kind: [Example(f"{k}", ("/a.png",), "what", ("red",), kind, choices=own) for k in range(2)]
        for kind, own in choices.items()
    }
    vision = SimpleNamespace(grid=(2, 2), cls=False)
    data = SimpleNamespace(backbones=SimpleNamespace(vision=vision), examples=lambda _: examples)
    asked = []

    def maps(self, of_kind):
        asked.append({one.kind for one in of_kind})
        return [Map(one.id, one.kind, np.eye(2), None) for one in of_kind]

    monkeypatch.setattr(run_diagnosis._Diagnostics, "_maps_of_kind", maps)
    found = run_diagnosis._Diagnostics(data, None, AMOUNTS).maps(["choice: 1", "1", "choice: 0", "lost"])
    assert [(one.id, one.said) for one in found] == [
        ("choice: 1", "choice"),
        ("1", "answer"),
        ("choice: 0", "choice"),
    ]
    assert asked == [{"answer"}, {"choice"}]


@pytest.mark.parametrize("shown", ["choice", "caption"])
def test_tokens_are_of_captions_or_else_of_first_questions(monkeypatch, shown):
    """A user's table may have choices alone."""
    choices = {"choice": ("red", "blue"), "caption": ()}
    examples = {
        kind: [
            Example(f"{k}", (f"/{k}.png",), "what", ("red",), kind, choices=choices[kind]) for k in range(4)
        ]
        for kind in ("choice", shown)
    }
    kinds = {"answer": [], "choice": [], "caption": []} | examples
    backbones = SimpleNamespace(vision=SimpleNamespace(grid=(2, 2), cls=False))
    data = SimpleNamespace(examples=lambda _: kinds, backbones=backbones)
    looked_at = []

    def tokens(self, split, examples):
        looked_at.extend(examples)
        return np.random.default_rng(0).normal(size=(len(examples), 3, 5))

    monkeypatch.setattr(run_diagnosis._Diagnostics, "_visual_tokens", tokens)
    diagnostics = run_diagnosis._Diagnostics(data, SimpleNamespace(insert="encoder_output"), AMOUNTS)
    diagnostics.tokens()
    assert looked_at == examples[shown]
    assert diagnostics.counts.get("first_questions") == (4 if shown == "choice" else None)


def test_questions_are_those_that_count():
    """GQA's unbalanced ones do not."""
    examples = [
        Example(f"{k}", ("/x.png",), "what", ("red",), "answer", {"balanced": k % 2}) for k in range(4)
    ]
    benchmark = SimpleNamespace(metrics=lambda: {"answer": GqaMetric()})
    backbones = SimpleNamespace(vision=SimpleNamespace(grid=(2, 2), cls=False))
    data = SimpleNamespace(examples=lambda _: {"answer": examples}, benchmark=benchmark, backbones=backbones)
    diagnostics = run_diagnosis._Diagnostics(data, SimpleNamespace(), AMOUNTS)
    assert diagnostics._questions("test") == examples[1::2]


@pytest.mark.parametrize("shift", ["clutter", "cogent_a"])
def test_a_world_with_a_shift_of_its_own_is_not_compared_with_clutter(study, shift):
    """Its test split is drawn with clutter already, or has other scenes than the cluttered one."""
    run = study / "bridge=linear,seed=0"
    config = OmegaConf.load(run / "config.yaml")
    config.benchmark.shift = shift
    OmegaConf.save(config, run / "config.yaml")
    result = diagnose_run(run, AMOUNTS)
    assert result.left_out == {
        "clutter": f"test has the shift {shift} already, and clutter is compared with plain ground"
    }
    assert {name.split("/")[0] for name in result.numbers} == {
        "rank", "words", "selection", "probe", "background"
    }  # fmt: skip


def test_patches_that_a_gpu_encodes_at_each_use_are_read():
    class OnGpu(torch.Tensor):
        def numpy(self):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    encoded = torch.rand(1, 5, 3).as_subclass(OnGpu)
    example = Example("q", ("/0.png",), "what is it ?", ("red",), "answer")
    data = SimpleNamespace(feature_rows=lambda _: ({"/0.png": 0}, lambda rows: encoded[rows]))
    read = run_diagnosis._Diagnostics._patches(SimpleNamespace(data=data, cls=1), "test", [example])
    assert (read == encoded.cpu()[:, 1:].numpy()).all()


def test_bad_input(study, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        runs_to_diagnose([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="is of a bridge that sees nothing, and no image"):
        runs_to_diagnose([study / "bridge=blind,seed=0"])
    with pytest.raises(FileNotFoundError, match="no finished run of a bridge that sees images"):
        runs_to_diagnose([tmp_path])
    (study / "bridge=linear,seed=0" / "last.ckpt").rename(tmp_path / "last.ckpt")
    with pytest.raises(
        FileNotFoundError, match=r"has no weights, last\.ckpt: it is a recorded or an evaluated"
    ):
        runs_to_diagnose([study / "bridge=linear,seed=0"])
    (tmp_path / "last.ckpt").rename(study / "bridge=linear,seed=0" / "last.ckpt")
    (study / "bridge=linear,seed=0" / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no metrics.json: it is not finished"):
        runs_to_diagnose([study / "bridge=linear,seed=0"])
    assert [run.name for run in runs_to_diagnose([study])] == ["bridge=qformer_question,seed=0"]
    with pytest.raises(ValueError, match=r"fit=1: at least 2 are needed. Set --fit to more"):
        Amounts(fit=1)
