import functools
import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import AdamW

from bridgelab.benchmark.example import Example
from bridgelab.bridge.linear import Linear
from bridgelab.data.batches import Prepared, TrainingBatches
from bridgelab.data.sampler import MixtureSampler
from bridgelab.model import BridgedModel
from bridgelab.optim.muon_adamw import MuonAdamW
from bridgelab.train.loop import LastCheckpoint, fit
from bridgelab.train.module import parameter_groups, warmup_then
from bridgelab.train.record import MetricsCsv

IDENTITY = {"vision": "v", "text": "t", "config": "c"}


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise Killed


def setting(text, steps=12):
    """A model at its first step and the batches it is trained on, the same each time."""
    torch.manual_seed(0)
    features = torch.randn(6, 4, 5)
    words = ["red", "blue", "cube", "sphere", "yes", "no"]
    examples = [
        Example(id=f"{k}", images=(f"/{k % 6}",), prompt="what is it", answers=(words[k % 6],), kind="answer")
        for k in range(30)
    ]
    prepared = Prepared(
        examples, text, {f"/{k}": k for k in range(6)}, lambda rows: features[torch.as_tensor(rows)]
    )
    sampler = MixtureSampler(
        {"answer": prepared.prompt_lengths}, [{"answer": 1}], steps=steps, batch_size=4, seed=0
    )
    model = BridgedModel(Linear(5, text.dim), text)
    model.calibrate(prepared.batch(range(4)))
    return model, TrainingBatches(sampler, {"answer": prepared})


def train(
    text,
    directory=None,
    stop=None,
    identity=IDENTITY,
    log=False,
    steps=12,
    validate=None,
    save_every=1,
    optimizer=AdamW,
):
    model, batches = setting(text, steps)
    extra = [KillAt(stop)] if stop else []

    def trainer(callbacks, **kwargs):
        return pl.Trainer(
            accelerator="cpu", devices=1, gradient_clip_val=1.0, callbacks=callbacks + extra, **kwargs
        )

    found = fit(
        model,
        batches,
        trainer=trainer,
        optimizer=functools.partial(optimizer, lr=1e-2, weight_decay=0.1),
        schedule={"shape": "linear", "warmup": 0.2},
        identity=identity,
        validate=validate,
        points=4,
        directory=directory,
        loggers=[MetricsCsv(directory)] if log else None,
        save_every=save_every,
        log_every=1,
    )
    return model, found


@pytest.mark.parametrize("optimizer", [AdamW, MuonAdamW])
@pytest.mark.parametrize(("stop", "save_every"), [(1, 1), (5, 1), (7, 3), (11, 5)])
def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, tiny_text, stop, save_every, optimizer):
    whole, _ = train(tiny_text, optimizer=optimizer)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=stop, save_every=save_every, optimizer=optimizer)
    resumed, _ = train(tiny_text, tmp_path, save_every=save_every, optimizer=optimizer)
    for a, b in zip(resumed.bridge.parameters(), whole.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert resumed.scale == whole.scale


def test_parameters_are_grouped_by_kind():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(torch.zeros(2, 3))
            self.positions = nn.Embedding(4, 3)
            self.linear = nn.Linear(3, 5)
            self.norm = nn.LayerNorm(5)
            self.still = nn.Linear(3, 5).requires_grad_(False)

    bridge = Mixed()
    found = parameter_groups(bridge)
    names = {id(p): name for name, p in bridge.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in found] == [
        ["linear.weight"],
        ["queries", "positions.weight"],
        ["linear.bias", "norm.weight", "norm.bias"],
    ]
    assert [bool(group.get("matrix")) for group in found] == [True, False, False]


def test_training_lowers_the_loss_and_leaves_the_frozen_side(tiny_text):
    before = tiny_text.fingerprint
    model, batches = setting(tiny_text, 60)
    first = model.loss(batches.pools["answer"].batch(range(30))).item()
    trained, _ = train(tiny_text, steps=60)
    assert trained.loss(batches.pools["answer"].batch(range(30))).item() < first - 0.3
    assert tiny_text.fingerprint == before


def test_a_checkpoint_is_safe_and_holds_what_is_trained(tmp_path, tiny_text):
    train(tiny_text, tmp_path)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert sorted(checkpoint["state_dict"]) == [
        "model.bridge.mm_projector.bias",
        "model.bridge.mm_projector.weight",
        "model.mean",
        "model.scale",
        "model.std",
    ]
    assert checkpoint["identity"] == IDENTITY
    assert checkpoint["global_step"] == 12
    assert not list(tmp_path.glob("*.part"))


def test_anothers_checkpoint_is_refused(tmp_path, tiny_text):
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=4)
    with pytest.raises(ValueError, match=r"checkpoint has vision=v, this run vision=w.*Move last\.ckpt away"):
        train(tiny_text, tmp_path, identity=IDENTITY | {"vision": "w"})


def test_a_finished_checkpoint_is_not_trained_on(tmp_path, tiny_text):
    model, _ = train(tiny_text, tmp_path)
    again, _ = train(tiny_text, tmp_path)
    for a, b in zip(again.bridge.parameters(), model.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_the_curve_and_the_log_survive_a_kill(tmp_path, tiny_text):
    def validate(model):
        return {"val/accuracy": 0.5, "val/loss": 1.0}

    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=8, log=True, validate=validate, save_every=5)
    _, (curve, seconds) = train(tiny_text, tmp_path, log=True, validate=validate, save_every=5)
    assert [step for step, _ in curve] == [3, 6, 9, 12]
    assert seconds > 0
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,lr,train/loss,val/loss,val/accuracy"
    assert [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[4]] == [3, 6, 9, 12]
    trained = [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[2]]
    assert trained == list(range(1, 13))


def test_a_rename_cut_short_leaves_the_former_checkpoint(tmp_path, tiny_text, monkeypatch):
    train(tiny_text, tmp_path)
    good = (tmp_path / "last.ckpt").read_bytes()

    def torn(self, path, **_):
        path.write_bytes(b"torn")
        raise OSError("disk full")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", torn)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(OSError, match="disk full"):
        LastCheckpoint(tmp_path / "last.ckpt", 1).on_train_batch_end(trainer)
    assert (tmp_path / "last.ckpt").read_bytes() == good


def test_schedules():
    linear, cosine, constant = (warmup_then(s, 100, 0.1) for s in ("linear", "cosine", "constant"))
    for factor in (linear, cosine, constant):
        assert [factor(k) for k in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert linear(55) == pytest.approx(0.5)
    assert linear(100) == pytest.approx(0.0)
    assert cosine(10 + 30) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert constant(99) == 1
    with pytest.raises(
        ValueError, match=r"train\.schedule\.shape='step' must be one of linear, cosine, constant"
    ):
        warmup_then("step", 10, 0.1)
