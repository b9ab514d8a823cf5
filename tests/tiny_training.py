"""A bridge of a few weights, trained for a few steps without a benchmark, and killed where a test wants it."""

import functools

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import AdamW

from bridgelab.benchmark.example import Example
from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers
from bridgelab.bridge.linear import Linear
from bridgelab.data.batches import TokenizedExamples, TrainingBatches
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.data.sampler import MixtureSampler
from bridgelab.model import BridgedModel
from bridgelab.text.adapter import build_adapter
from bridgelab.training.fit import Outputs, Span, fit
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.training.loggers.csv_logger import MetricsCsv
from bridgelab.training.lr_schedule import lr_schedule

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


def model_and_batches(text, steps=12, stack=None, adapt="none", kind=Linear, dim=5, dropout=0.0):
    """A model at its first step and the batches it is trained on, the same each time.

    With `stack`, the T5's encoder or decoder reads the bridge's tokens by gated cross-attention; `adapt` is as `text.adapt`. `kind` makes
    a bridge from patches of `dim` channels; `dropout` is of its tokens.
    """
    torch.manual_seed(0)
    lora = {"rank": 2, "alpha": 4, "targets": ["q", "v"]}
    adapter = build_adapter({"adapt": adapt, "prompt_tokens": 3, "lora": lora}, text.model)
    torch.manual_seed(0)
    features = torch.randn(6, 4, dim)
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
    between = {}
    bridge = kind(dim, text.dim)
    if dropout:
        bridge = nn.Sequential(bridge, nn.Dropout(dropout))
    if stack:
        layers = len(getattr(text.model, stack).block)
        blocks = CrossAttentionLayers(text.dim, layers, stack=stack, every=1, num_heads=2, ffn_ratio=2)
        between = {"insert": "cross_attention", "cross_attention": blocks}
    model = BridgedModel(bridge, text, adapter=adapter, **between)
    model.init_output_scale(prepared.batch(range(4)))
    return model, TrainingBatches(sampler, {"answer": prepared})


def train(
    text,
    directory=None,
    stop=None,
    identity=IDENTITY,
    earlier=None,
    log=False,
    steps=12,
    validate=None,
    save_every=1,
    optimizer=AdamW,
    schedule=None,
    budget=None,
    stack=None,
    adapt="none",
    kind=Linear,
    dim=5,
    at_start=False,
    dropout=0.0,
    progress_bar=False,
    extra=(),
    **trainer_choices,
):
    model, batches = model_and_batches(text, steps, stack, adapt, kind, dim, dropout)
    extra = [*extra, *([KillAt(stop)] if stop else [])]

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
        schedule=lr_schedule(steps=steps, end=span.stop, **schedule),
        identity=identity,
        earlier=earlier,
    )
    outputs = directory and Outputs(
        directory,
        loggers=[MetricsCsv(directory)] if log else [],
        save_every=save_every,
        log_every=1,
        validate=validate,
        points=4,
        at_start=at_start,
    )
    data = OwnBatches(batches)
    return model, fit(module, data, trainer, span=span, outputs=outputs, progress_bar=progress_bar)
