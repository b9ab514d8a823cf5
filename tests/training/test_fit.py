import functools
import re
import signal
import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from tiny_training import Killed, OwnBatches, model_and_batches, train
from torch.optim import AdamW

from bridgelab.bridge.matryoshka import MatryoshkaQueries
from bridgelab.bridge.qformer import QFormer
from bridgelab.config.check import check_config
from bridgelab.model import BridgedModel
from bridgelab.optim.muon_adamw import MuonAdamW
from bridgelab.out_of_memory import explain_full_evaluation
from bridgelab.training import fit as fitting
from bridgelab.training.dropout import has_dropout, seed_dropout
from bridgelab.training.fit import fit
from bridgelab.training.main import ROOT  # registers what configs call


@pytest.mark.parametrize("optimizer", [AdamW, MuonAdamW])
@pytest.mark.parametrize(
    ("stop", "save_every", "adapt", "dropout"),
    [
        (1, 1, "none", 0.0),
        (5, 1, "none", 0.0),
        (7, 3, "none", 0.0),
        (11, 5, "none", 0.0),
        (7, 3, "prompt", 0.0),
        (7, 3, "lora", 0.0),
        (7, 3, "none", 0.5),
    ],
)
def test_killed_and_resumed_ends_with_the_same_weights(
    tmp_path, tiny_text, stop, save_every, adapt, dropout, optimizer
):
    start, _ = model_and_batches(tiny_text, adapt=adapt, dropout=dropout)
    run = functools.partial(train, tiny_text, optimizer=optimizer, adapt=adapt, dropout=dropout)
    whole, _ = run()
    with pytest.raises(Killed):
        run(tmp_path, stop=stop, save_every=save_every)
    resumed, _ = run(tmp_path, save_every=save_every)
    trained = [name for name, p in start.named_parameters() if p.requires_grad]
    assert len(trained) == {"none": 2, "prompt": 3, "lora": 2 + 2 * 2 * 4}[adapt]
    first, again, once = (dict(model.named_parameters()) for model in (start, resumed, whole))
    for name in trained:
        torch.testing.assert_close(again[name], once[name], atol=0, rtol=0)
        assert not torch.equal(first[name], once[name])
    assert resumed.scale == whole.scale


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_blocks_between_layers_are_resumed_exactly_too(tmp_path, tiny_text, stack):
    whole, _ = train(tiny_text, optimizer=MuonAdamW, stack=stack)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=7, save_every=3, optimizer=MuonAdamW, stack=stack)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[1] for name in saved} == {"bridge", "cross_attention", "mean", "std", "scale"}
    resumed, _ = train(tiny_text, tmp_path, save_every=3, optimizer=MuonAdamW, stack=stack)
    for (name, a), b in zip(resumed.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert all(gate["attention"] and gate["dense"] for gate in resumed.cross_attention.gates())


def test_masks_of_dropout_are_of_the_step_and_others_leave_torch_alone(tiny_text):
    """Each part of a batch and each process has masks of its own."""

    def mask(*place):
        seed_dropout(*place)
        return tuple(torch.rand(8).tolist())

    places = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({mask(*place) for place in places}) == len(places)
    assert mask(*places[0]) == mask(*places[0])
    model, _ = model_and_batches(tiny_text)
    assert not has_dropout(model)  # though the frozen T5 has dropout in training
    assert has_dropout(model_and_batches(tiny_text, dropout=0.5)[0])
    published = QFormer(6, 8, num_queries=2, depth=1, width=4, num_heads=2, dropout=0.1)
    assert has_dropout(published)
    assert not has_dropout(published.eval())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model_and_batches(tiny_text)  # seeds as it builds
    built = torch.get_rng_state()
    train(tiny_text)
    assert torch.equal(torch.get_rng_state(), built)
    assert not torch.equal(built, state)


def test_a_process_that_fails_ends_those_that_lightning_started_for_it():
    """They would wait for it in their next collective."""
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), num_processes=2, num_nodes=1)
    other = subprocess.Popen(["sleep", "60"])
    watched = launcher.procs  # by a thread of Lightning's, which kills this process if one of them fails
    watched.append(other)

    def full(*_, **__):
        raise OSError("No space left on device")

    trainer = SimpleNamespace(fit=full, strategy=SimpleNamespace(launcher=launcher))
    with pytest.raises(OSError, match="No space left"):
        fitting._run(trainer, None, None, None)
    assert other.poll() == -signal.SIGKILL
    assert watched == []


def test_a_batch_in_parts_is_the_same_step(tmp_path, tiny_text):
    """Accumulated over two parts, killed between them, resumed: the weights and losses of one that took each batch at once."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _ = train(tiny_text, tmp_path / "whole", log=True)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path / "parts", stop=7, save_every=3, accumulate_grad_batches=2, log=True)
    state = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 6
    parts, _ = train(tiny_text, tmp_path / "parts", save_every=3, accumulate_grad_batches=2, log=True)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)
    of_whole, of_parts = (
        pd.read_csv(tmp_path / name / "metrics.csv")["train/loss"].tolist() for name in ("whole", "parts")
    )
    assert len(of_whole) == 12
    assert of_parts == pytest.approx(of_whole, rel=1e-4)
    with pytest.raises(
        ValueError, match=r"batch_size=4 is not divisible by 1 processes times .*accumulate_grad_batches=3"
    ):
        train(tiny_text, tmp_path / "odd", accumulate_grad_batches=3)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (4, 2)])
def test_a_run_resumed_with_another_number_of_parts_takes_the_same_steps(tmp_path, tiny_text, before, after):
    whole, _ = train(tiny_text)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=7, save_every=5, accumulate_grad_batches=before)
    resumed, _ = train(tiny_text, tmp_path, save_every=5, accumulate_grad_batches=after)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["global_step"] == 12
    assert state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"] == 12 * after
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


def test_a_step_in_parts_draws_one_number_of_tokens(tmp_path, tiny_text):
    kind = functools.partial(MatryoshkaQueries, grid=(2, 2), num_queries=4, num_heads=2)
    whole, _ = train(tiny_text, kind=kind, dim=8)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=7, save_every=3, accumulate_grad_batches=2, kind=kind, dim=8)
    parts, _ = train(tiny_text, tmp_path, save_every=3, accumulate_grad_batches=2, kind=kind, dim=8)
    assert whole.bridge.steps == parts.bridge.steps == 12
    # Not by the weights: the biases of the keys have a gradient of rounding alone, which AdamW makes as large as any.
    patches = torch.randn(3, 4, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            parts.bridge.eval()(patches), whole.bridge.eval()(patches), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("stack", "adapt"),
    [(None, "none"), ("encoder", "none"), ("decoder", "none"), (None, "prompt"), (None, "lora")],
)
def test_training_lowers_the_loss_and_leaves_the_frozen_side(tiny_text, stack, adapt):
    before = tiny_text.fingerprint
    model, batches = model_and_batches(tiny_text, 60, stack, adapt)
    first = model.loss(batches.pools["answer"].batch(range(30))).item()
    trained, _ = train(tiny_text, steps=60, stack=stack, adapt=adapt)
    assert trained.loss(batches.pools["answer"].batch(range(30))).item() < first - 0.3
    assert tiny_text.fingerprint == before


@pytest.mark.parametrize("choice", [{"limit_train_batches": 5}, {"max_time": {"seconds": 0}}])
def test_a_training_that_ends_before_its_last_step_is_no_training(tmp_path, tiny_text, choice):
    for folder in (tmp_path, None):  # a trial has no folder
        with pytest.raises(
            RuntimeError, match=r"ended at step [0-5] of 12: .* move last\.ckpt and previous\.ckpt away"
        ):
            train(tiny_text, folder, **choice)


def test_what_a_training_gives_the_trainer_itself_is_refused_in_a_config(tiny_text):
    class Taken(Exception):
        pass

    given = {}

    def build_trainer(**choices):
        given.update(choices)
        raise Taken

    _, batches = model_and_batches(tiny_text)
    with pytest.raises(Taken):
        fit(None, OwnBatches(batches), build_trainer)
    assert {"callbacks", "logger", "max_steps"} <= given.keys()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for key in given:
            with pytest.raises(ValueError, match=rf"^trainer\.{key}=x: .* Remove it"):
                check_config(compose("train", [f"+trainer.{key}=x"]))


def test_full_memory_is_told_with_what_needs_less(tiny_text, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(BridgedModel, "forward", full)
    with pytest.raises(
        MemoryError,
        match=r"full at batches of 4\. Set \+trainer\.accumulate_grad_batches=2.*checkpointing.*2 GiB",
    ) as told:
        train(tiny_text)
    named = re.findall(r"\+?[a-z]+\.\w+=\w+", str(told.value))
    assert len(named) == 5
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check_config(compose("train", ["text=flan_t5_xl", *named]))


def test_full_memory_in_a_validation_is_told_as_such(tmp_path, tiny_text):
    def validate(_):
        with explain_full_evaluation(128, num_beams=5):
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    with pytest.raises(
        MemoryError, match=r"full at 128 examples .*Set evaluate\.batch_size=64 .*num_beams=1.*2 GiB"
    ) as told:
        train(tiny_text, tmp_path, validate=validate)
    named = re.findall(r"\+?[a-z]+\.\w+=\w+", str(told.value))
    assert len(named) == 2
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check_config(compose("train", named))
