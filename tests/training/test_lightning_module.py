import functools
import json
import math
import re

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import AdamW

from bridgelab.benchmark.example import Example
from bridgelab.bridge.linear import Linear
from bridgelab.data.batches import TokenizedExamples, TrainingBatches
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.data.sampler import MixtureSampler
from bridgelab.model import BridgedModel
from bridgelab.optim.muon_adamw import MuonAdamW
from bridgelab.training.budgets import branch_points, cool_down, smaller_budgets
from bridgelab.training.callbacks.last_checkpoint import LastCheckpoint
from bridgelab.training.fit import Outputs, Span, fit
from bridgelab.training.lightning_module import BridgeTraining, parameter_groups, warmup_then
from bridgelab.training.loggers.csv_logger import MetricsCsv

IDENTITY = {"vision": "v", "text": "t", "config": "c"}


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise Killed


class OwnBatches(BenchmarkDataModule):
    """Training batches without a benchmark."""

    def __init__(self, batches):
        pl.LightningDataModule.__init__(self)
        self._batches = batches

    def setup(self, stage):
        pass


def model_and_batches(text, steps=12):
    """A model at its first step and the batches it is trained on, the same each time."""
    torch.manual_seed(0)
    features = torch.randn(6, 4, 5)
    words = ["red", "blue cube", "cube", "sphere yes no", "yes", "no"]
    examples = [
        Example(id=f"{k}", images=(f"/{k % 6}",), prompt="what is it", answers=(words[k % 6],), kind="answer")
        for k in range(30)
    ]
    prepared = TokenizedExamples(
        examples, text, {f"/{k}": k for k in range(6)}, lambda rows: features[torch.as_tensor(rows)]
    )
    sampler = MixtureSampler(
        {"answer": prepared.prompt_lengths}, [{"answer": 1}], steps=steps, batch_size=4, seed=0
    )
    model = BridgedModel(Linear(5, text.dim), text)
    model.init_output_scale(prepared.batch(range(4)))
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
    schedule=None,
    budget=None,
    **trainer_choices,
):
    model, batches = model_and_batches(text, steps)
    extra = [KillAt(stop)] if stop else []

    def trainer(callbacks, **kwargs):
        return pl.Trainer(
            accelerator="cpu",
            devices=1,
            gradient_clip_val=1.0,
            callbacks=callbacks + extra,
            **kwargs,
            **trainer_choices,
        )

    span = Span(**budget or {})
    schedule = schedule or {"shape": "linear", "warmup": 0.2}
    module = BridgeTraining(
        model,
        optimizer=functools.partial(optimizer, lr=1e-2, weight_decay=0.1),
        schedule=warmup_then(steps=steps, end=span.stop, **schedule),
        identity=identity,
    )
    outputs = directory and Outputs(
        directory,
        loggers=[MetricsCsv(directory)] if log else [],
        save_every=save_every,
        log_every=1,
        validate=validate,
        points=4,
    )
    return model, fit(module, OwnBatches(batches), trainer, span=span, outputs=outputs)


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


def test_a_smaller_budget_is_what_a_run_of_its_length_is(tmp_path, tiny_text):
    """Branched off at 80 % of it and cooled down, killed on the way, or trained alone: the same weights at the same rate."""
    schedule = {"shape": "warmup_stable_decay", "warmup": 0.1, "decay": 0.4}
    train_so = functools.partial(train, tiny_text, steps=20, schedule=schedule)
    whole, _ = train_so()
    alone, _ = train_so(budget={"stop": 10})
    (tmp_path / "run").mkdir()
    points = branch_points(tmp_path / "run", [10], schedule["decay"])
    assert list(points.values()) == [6]
    branched, _ = train_so(directory=tmp_path / "run", budget={"branches": points})
    for name, weights in whole.bridge.state_dict().items():
        assert torch.equal(weights, branched.bridge.state_dict()[name]), name
        assert not torch.equal(weights, alone.bridge.state_dict()[name]), name
    cooled = []

    def cool(end, begin, own):
        choices = {"directory": own, "budget": {"stop": end, "start": begin}}
        with pytest.raises(Killed):
            train_so(stop=8, **choices)
        cooled.append(train_so(**choices)[0])
        return {"val/accuracy": 0.5}

    assert cool_down(tmp_path / "run", [10], cool) == [{"steps": 10, "val/accuracy": 0.5}]
    for name, weights in alone.bridge.state_dict().items():
        assert torch.equal(weights, cooled[0].bridge.state_dict()[name]), name
    assert cool_down(tmp_path / "run", [10], cool) == [{"steps": 10, "val/accuracy": 0.5}]  # once
    assert len(cooled) == 1
    assert [path.name for path in (tmp_path / "run" / "budgets").iterdir()] == ["10.json"]


def test_smaller_budgets_are_shares_of_the_steps():
    assert smaller_budgets(100, [0.5, 0.25], 0.2) == [25, 50]
    assert smaller_budgets(6, [0.25, 0.5, 0.9], 0.2) == [3, 5]  # the last fifth of 2 steps is none
    assert smaller_budgets(1, [0.4], 0.2) == smaller_budgets(0, [0.5], 0.2) == []


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_take_the_steps_of_one(tiny_text, world, monkeypatch):
    """The average of the processes' gradients and twenty steps of AdamW with it, against one process; in float64 but for the
    T5's norms, which are in float32."""

    def steps(world, number=20):
        model, _ = model_and_batches(tiny_text)
        model = model.double()
        parts = []
        for rank in range(world):
            _, batches = model_and_batches(tiny_text, steps=number)
            batches.sampler.share_out(rank, world)
            parts.append(iter(batches))
        optimizer = AdamW(parameter_groups(model), lr=0.01)
        first = None
        for _ in range(number):
            optimizer.zero_grad()
            for batch in map(next, parts):
                floating = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}
                with monkeypatch.context() as patched:
                    patched.setattr(torch.Tensor, "float", torch.Tensor.double)
                    (model(floating) / world).backward()  # DDP averages
            trained = [p for p in model.parameters() if p.requires_grad]
            first = first or [p.grad.clone() for p in trained]
            optimizer.step()
        return first, [p.detach() for p in trained]

    for one, several in zip(steps(1), steps(world), strict=True):
        for a, b in zip(one, several, strict=True):
            assert (b - a).norm() < 1e-6 * a.norm()


def test_a_batch_in_parts_is_the_same_step(tmp_path, tiny_text):
    """Accumulated over two parts, killed between them, resumed: the weights of one that took each batch at once."""
    whole, _ = train(tiny_text, tmp_path / "whole")
    with pytest.raises(Killed):
        train(tiny_text, tmp_path / "parts", stop=7, save_every=3, accumulate_grad_batches=2)
    state = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 6
    parts, _ = train(tiny_text, tmp_path / "parts", save_every=3, accumulate_grad_batches=2)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"batch_size=4 is not divisible by 1 processes times .*accumulate_grad_batches=3"
    ):
        train(tiny_text, tmp_path / "odd", accumulate_grad_batches=3)


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
    model, batches = model_and_batches(tiny_text, 60)
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
    _, fitted = train(tiny_text, tmp_path, log=True, validate=validate, save_every=5)
    assert [step for step, _ in fitted.curve] == [3, 6, 9, 12]
    assert fitted.seconds > 0
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,lr,train/loss,val/loss,val/accuracy"
    assert [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[4]] == [3, 6, 9, 12]
    trained = [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[2]]
    assert trained == list(range(1, 13))


def test_a_kill_right_after_a_checkpoint_loses_no_row(tmp_path, tiny_text, monkeypatch):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train(tiny_text, tmp_path / "whole", log=True)
    save = LastCheckpoint.save

    def killed(self, trainer):
        save(self, trainer)
        if trainer.global_step == 5:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LastCheckpoint, "save", killed)
        with pytest.raises(Killed):
            train(tiny_text, tmp_path / "killed", log=True)
    train(tiny_text, tmp_path / "killed", log=True)
    logs = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 13


def test_a_rename_cut_short_leaves_the_former_checkpoint(tmp_path, tiny_text, monkeypatch):
    train(tiny_text, tmp_path)
    good = (tmp_path / "last.ckpt").read_bytes()

    def torn(self, path, **_):
        path.write_bytes(b"torn")
        raise OSError("disk full")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", torn)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(OSError, match="disk full"):
        LastCheckpoint(tmp_path / "last.ckpt", 1).save(trainer)
    assert (tmp_path / "last.ckpt").read_bytes() == good


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 3] + bytes(512) + whole[len(whole) // 3 + 512 :],
    ],
)
def test_a_spoiled_checkpoint_falls_back_to_the_one_before(tmp_path, tiny_text, spoil, caplog):
    whole, _ = train(tiny_text)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=8, save_every=3)
    last = tmp_path / "last.ckpt"
    last.write_bytes(spoil(last.read_bytes()))
    resumed, _ = train(tiny_text, tmp_path, save_every=3)
    assert re.search(r"last\.ckpt can't be read .*: going on from .*previous\.ckpt, step 3", caplog.text)
    for a, b in zip(resumed.bridge.parameters(), whole.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert not (tmp_path / "previous.ckpt").exists()  # the run has ended


def test_a_kill_between_two_renames_loses_one_save_at_most(tmp_path, tiny_text):
    whole, _ = train(tiny_text)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=8, save_every=3)
    (tmp_path / "last.ckpt").unlink()
    resumed, _ = train(tiny_text, tmp_path, save_every=3)
    for a, b in zip(resumed.bridge.parameters(), whole.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_unasked(tmp_path, tiny_text):
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"last\.ckpt can't be read .*Remove it to start this run anew"):
        train(tiny_text, tmp_path)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_stops_the_run_and_names_its_examples(
    tmp_path, tiny_text, what, monkeypatch
):
    step, forward = [0], BridgedModel.forward

    def poisoned(self, batch):
        step[0] += 1
        loss = forward(self, batch)
        if step[0] < 6:
            return loss
        if what == "loss":
            return loss * float("nan")
        tail = next(self.bridge.parameters()).sum()
        return loss + torch.sqrt((tail - tail.detach()).abs())  # 0, with a gradient that is not finite

    monkeypatch.setattr(BridgedModel, "forward", poisoned)
    with pytest.raises(
        FloatingPointError, match=r"step 5: .*must be finite.*not_finite\.json names the 4 examples"
    ):
        train(tiny_text, tmp_path)
    told = json.loads((tmp_path / "not_finite.json").read_text())
    _, batches = model_and_batches(tiny_text)
    assert told["ids"] == [str(row) for row in batches.sampler.batch(5).rows]
    assert (told["step"], told["pool"]) == ("5", "answer")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 5
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_full_memory_is_told_with_what_needs_less(tiny_text, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(BridgedModel, "forward", full)
    with pytest.raises(
        MemoryError,
        match=r"full at batches of 4\. Set trainer\.accumulate_grad_batches higher.*checkpointing.*2 GiB",
    ):
        train(tiny_text)


def test_schedules():
    shapes = ("linear", "cosine", "constant", "warmup_stable_decay")
    linear, cosine, constant, stable = (warmup_then(s, 100, 0.1) for s in shapes)
    half = warmup_then("warmup_stable_decay", 100, 0.1, end=50)
    for factor in (linear, cosine, constant, stable, half):
        assert [factor(k) for k in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert linear(55) == pytest.approx(0.5)
    assert linear(100) == pytest.approx(0.0)
    assert cosine(10 + 30) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert constant(99) == 1
    assert [stable(k) for k in (10, 79, 80, 90, 99, 100)] == pytest.approx([1, 1, 1, 0.5, 0.05, 0])
    assert [half(k) for k in (10, 39, 40, 45, 50)] == pytest.approx([1, 1, 1, 0.5, 0])
    with pytest.raises(
        ValueError, match=r"train\.schedule\.shape='step' must be one of linear, cosine, constant"
    ):
        warmup_then("step", 10, 0.1)
