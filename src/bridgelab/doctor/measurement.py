"""What a training step and an answer of a run cost on this machine: few layers are timed, all are reckoned.

A cost is taken to be linear in layers: the T5 is run with two layers a side, with more of the encoder's, and with more of
the decoder's. Where a whole batch would take long (a large T5 on a CPU), a part of it is run, and both passes are taken to
be linear in examples too; the optimizer's step does not depend on them.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import nn
from transformers import T5Config

from bridgelab.data.batches import Batch
from bridgelab.data.images import THREADS, file_hash, read_image
from bridgelab.doctor.dry_run import Lengths, Rehearsal
from bridgelab.doctor.layer_costs import Layers, extrapolated, points, text_flops, weight_bytes
from bridgelab.doctor.ledger import END, START, allocated
from bridgelab.doctor.meta_models import ShapedVision, text_model
from bridgelab.model import BridgedModel

SECONDS = 1.0  # that a call under the clock should take at most
MOST_LAYERS = 5  # of a side, where that many are not too large
MOST_WEIGHTS = 3e9  # bytes of a rehearsal's T5
ROUNDS, TIMES = 2, 3  # a size is tried in each round, so many times: what else runs here meets all of them
PATIENCE = 10.0  # seconds of a round after which there is no further one: long trials are less uneven
ENCODED = 64  # images that the encoder sees at once, as in `data.features`
SHOWN = 16  # images that are read
PIXELS = (480, 640)  # of an image, where none is there
Seconds = TypeVar("Seconds", float, tuple[float, float], tuple[float, float, float])


@dataclass(frozen=True)
class Memory:
    """Bytes that a run takes, and of what.

    Args:
        text: weights of the T5, and what is made of them once.
        vision: weights of the ViT, which stays beside it.
        trained: weights, gradients and the optimizer's state of what is trained.
        step: what a training step takes besides, at its peak: activations, and what lives for a moment.
        answers: what a batch of an evaluation takes besides, likewise.
        encoding: what a batch of images on their way into the feature store takes besides.
    """

    text: float
    vision: float
    trained: float
    step: float
    answers: float
    encoding: float

    @property
    def peak(self) -> float:
        """All of it, when most is taken."""
        return self.text + self.vision + self.trained + max(self.step, self.answers, self.encoding)


@dataclass(frozen=True)
class Answering:
    """Seconds that an example takes in an evaluation: its reading, each token written, the scoring of its target."""

    read: float
    token: float
    score: float


class Probe:
    """A run's costs, from short trials on its device.

    Args:
        config: of a run.
        device: where it would train.
        text: the T5's configuration.
        visual: the tower, on no memory.
        images: of one example.
        processes: that share a batch.
        whole: try it with all layers and whole batches, however long that takes.
    """

    def __init__(
        self, config: DictConfig, device: torch.device, text: T5Config, visual: nn.Module, *, images: int = 1,
        processes: int = 1, whole: bool = False,
    ):  # fmt: skip
        self.config, self.device, self.shape, self.visual, self.whole = config, device, text, visual, whole
        self.full = Layers(text.num_layers, text.num_decoder_layers)
        self.batch_size = -(-config.train.batch_size // processes)
        dtype = getattr(torch, config.text.get("dtype", "float32"))
        attention = config.text.get("attention", "eager")
        self.text_weights = weight_bytes(text_model(text, dtype, attention))
        least, more = (weight_bytes(text_model(text, dtype, attention, Layers(n, n))) for n in (1, 2))
        fitting = int((MOST_WEIGHTS - least) / (more - least)) + 1
        most = max(*vars(self.full).values()) if whole else max(1, min(MOST_LAYERS, fitting))
        self.points = [self.full] if whole else points(self.full, most)
        held = Layers(max(p.encoder for p in self.points), max(p.decoder for p in self.points))
        self.rehearsal = Rehearsal(config, device, text, visual, held, images)
        model = self.rehearsal.bridged()
        self.conditioning = model.conditioning
        self.trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        one = self.rehearsal.batch(1, Lengths(8, 1), self.conditioning)
        with torch.no_grad():
            self.tokens = model.prefix(one).shape[1]
        self.speed = speed(device, dtype if model.precision == "fp32" else torch.bfloat16)

    def flops(self, lengths: Lengths, layers: Layers | None = None) -> tuple[int, int]:
        """Operations of the T5 on one example, forward and backward to the bridge."""
        at = self.rehearsal.positions(self.tokens, lengths)
        through = at.read == at.attended
        forward, backward = text_flops(self.shape, layers or self.full, at, through=through)
        return forward, backward if self.trained else 0

    def step(self, lengths: Lengths) -> float:
        """Seconds of a training step with a batch that is padded to these lengths."""
        size = self._training_size(lengths)
        passes: dict[Layers, list[float]] = {layers: [] for layers in self.points}
        steps: list[float] = []

        def trial(layers: Layers, model: BridgedModel, batch: Batch) -> None:
            optimizer = self.rehearsal.optimizer(model)
            for both, step in repeated(lambda: self.rehearsal.step(model, optimizer, batch)):
                passes[layers].append(both)
                steps.append(step)

        self._try(size, lengths, trial)
        both = extrapolated({layers: statistics.median(taken) for layers, taken in passes.items()}, self.full)
        return both * self.batch_size / size + statistics.median(steps)

    def memory(self, lengths: Lengths) -> Memory:
        """Bytes of a step with a batch that is padded to these lengths, at its peak."""
        size = self._training_size(lengths)
        left: dict[Layers, float] = {}
        most: dict[str, dict[Layers, float]] = {}
        model = self.rehearsal.bridged()
        weights = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        state = 0
        del model

        def trial(layers: Layers, model: BridgedModel, batch: Batch) -> None:
            nonlocal state
            found: dict[str, int] = {}
            if weights:
                optimizer = self.rehearsal.optimizer(model)
                left[layers] = allocated(lambda: self.rehearsal.step(model, optimizer, batch), self.device)[
                    END
                ]
                found = allocated(lambda: self.rehearsal.step(model, optimizer, batch), self.device)
                state = _state_bytes(optimizer)
            else:
                answered = allocated(lambda: self.rehearsal.answer(model, batch, 1, 1), self.device)
                left[layers] = answered[END]
            num_beams = self.config.evaluate.get("num_beams", 1)
            answered = allocated(lambda: self.rehearsal.answer(model, batch, 2, num_beams), self.device)
            for name, value in (found | answered).items():
                if name not in (START, END):
                    most.setdefault(name, {})[layers] = value

        self._try(size, lengths, trial, rounds=1)
        trained = 2 * weights + state
        # An encoder of ours folds its weights together once.
        folded = max(0.0, extrapolated(left, self.full) - weights - state)
        peaks = {name: extrapolated(values, self.full) for name, values in most.items()}
        answers = max(peaks.pop(name) for name in ("read", "write", "score"))
        for name in peaks:
            if name != "optimizer":
                # A step frees the last one's gradients first, and has its own when they have reached the bridge.
                freed = 0 if name == "bridge" else weights
                peaks[name] = (peaks[name] + freed) * self.batch_size / size - freed
        return Memory(
            text=self._text_bytes() + folded,
            vision=0 if self.rehearsal.vision is None else self._vision_bytes(),
            trained=trained,
            step=max(peaks.values(), default=0.0),
            answers=answers * self.config.evaluate.batch_size / size,
            encoding=self._encoding_bytes(),
        )

    def answering(self, lengths: Lengths, tokens: int) -> Answering:
        """Seconds of an example that is answered in so many tokens."""
        tried = min(tokens, 16)
        most = Lengths(lengths.prompt, max(tried, lengths.target))
        forward = max(self.flops(most, layers)[0] for layers in self.points)
        size = self._examples(self.config.evaluate.batch_size, forward)
        taken: dict[Layers, list[tuple[float, float, float]]] = {layers: [] for layers in self.points}
        num_beams = self.config.evaluate.get("num_beams", 1)

        def trial(layers: Layers, model: BridgedModel, batch: Batch) -> None:
            model.eval()
            taken[layers] += repeated(lambda: self.rehearsal.answer(model, batch, tried, num_beams))

        self._try(size, lengths, trial)
        read, written, scored = (
            extrapolated(
                {layers: statistics.median(one[k] for one in found) for layers, found in taken.items()},
                self.full,
            )
            / size
            for k in range(3)
        )
        return Answering(read, written / tried, scored)

    def encoding(self, images: Sequence[str] = ()) -> float:
        """Seconds of an image's way into the feature store: read, hashed, and seen by the encoder.

        Args:
            images: some that are there; else one is made.
        """
        vision = self.rehearsal.vision
        if vision is None or self.rehearsal.sees != "image":
            return 0.0
        depth, shown, seen = vision.layer + 1, self._shown(vision), {}
        for blocks in (1, depth) if self.whole else sorted({min(2, depth), min(depth, MOST_LAYERS)}):
            cut = vision.see(blocks, self.device)
            seen[Layers(blocks, 1)] = self._seconds(partial(cut.patches, shown))
            del cut
        encoded, read = extrapolated(seen, Layers(depth, 1)) / len(shown), reading(images) / THREADS
        return read + max(encoded, read)  # looked at once before, then read ahead of the encoder

    def _shown(self, vision: ShapedVision) -> torch.Tensor:
        """Images, as many as do not take long to encode."""
        block = weight_bytes(vision.blocks, 1) // len(vision.blocks)
        size = self._examples(ENCODED, 2 * block * vision.grid[0] * vision.grid[1])
        return torch.zeros(size, *vision.image_size, 3, dtype=torch.uint8)

    def _encoding_bytes(self) -> float:
        vision = self.rehearsal.vision
        if vision is None or self.rehearsal.sees != "image":
            return 0.0
        shown, cut = self._shown(vision), vision.see(min(2, vision.layer + 1), self.device)
        most = allocated(lambda: cut.patches(shown), self.device)[START]
        return most * ENCODED / len(shown)

    def _try(
        self,
        size: int,
        lengths: Lengths,
        trial: Callable[[Layers, BridgedModel, Batch], None],
        rounds: int | None = None,
    ) -> None:
        batch = self.rehearsal.batch(size, lengths, self.conditioning)
        for _ in range(rounds or ROUNDS):
            began = time.perf_counter()
            for layers in self.points:
                self.rehearsal.text.cut(layers)
                trial(layers, self.rehearsal.bridged().train(), batch)
                gc.collect()
            if time.perf_counter() - began > PATIENCE:
                break

    def _training_size(self, lengths: Lengths) -> int:
        return self._examples(
            self.batch_size, max(sum(self.flops(lengths, layers)) for layers in self.points)
        )

    def _examples(self, most: int, flops: float) -> int:
        """How many examples a trial has: all of them, if that does not take long."""
        return most if self.whole else max(1, min(most, int(SECONDS * self.speed / max(flops, 1))))

    def _seconds(self, call: Callable[[], Any]) -> float:
        def timed() -> float:
            began = self.rehearsal.now()
            call()
            return self.rehearsal.now() - began

        return statistics.median(repeated(timed))

    def _text_bytes(self) -> float:
        if not self.config.text.get("eight_bit"):
            return self.text_weights
        # Matrices of layers in a byte each, the vocabulary's as they are.
        outside = weight_bytes(text_model(self.shape, torch.bfloat16, "eager", Layers(0, 0)))
        return outside + (self.text_weights - outside) / 2

    def _vision_bytes(self) -> float:
        vision = self.rehearsal.vision
        return weight_bytes(vision, vision.dtype.itemsize)


def repeated(call: Callable[[], Seconds]) -> list[Seconds]:
    """What a call that tells its own seconds says, several times, or once where it takes long.

    A first time is not counted: it takes memory and chooses kernels.
    """
    call()
    began = time.perf_counter()
    told: list[Seconds] = []
    while len(told) < TIMES and (not told or time.perf_counter() - began < SECONDS):
        told.append(call())
    return told


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.numel() * value.element_size() for value in tensors if isinstance(value, torch.Tensor))


def speed(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product, roughly."""
    side = 4096 if device.type == "cuda" else 512
    one = torch.ones(side, side, dtype=dtype, device=device)
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        (one @ one).sum().item()
        taken.append(time.perf_counter() - began)
    return 2 * side**3 / min(taken)


def reading(images: Sequence[str]) -> float:
    """Seconds to read and hash an image on one core, of some of these, or of a made one."""
    with tempfile.TemporaryDirectory() as folder:
        if not images:
            ramp = np.add.outer(np.arange(PIXELS[0]), np.arange(PIXELS[1]))
            grain = np.random.default_rng(0).integers(0, 32, (*PIXELS, 3))
            made = Path(folder) / "made.jpg"
            Image.fromarray((ramp[..., None] // 8 % 200 + grain).astype(np.uint8)).save(made, quality=90)
            images = [str(made)] * 4
        began = time.perf_counter()
        for path in images[:SHOWN]:
            file_hash(path)
            read_image(path)
        return (time.perf_counter() - began) / len(images[:SHOWN])
