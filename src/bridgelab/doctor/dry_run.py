"""A dry run: a few real steps, answers and encodings at a run's true sizes, with random weights and random data.

The time of a layer does not depend on the values of its weights. Seconds and bytes are linear in examples and in layers: a batch
that takes long is extrapolated from two smaller ones, and a T5 that does not fit here from two with fewer layers.
"""

import gc
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config

from bridgelab.backbones import Backbones
from bridgelab.config.instantiate import build, target
from bridgelab.data.batches import Batch
from bridgelab.data.features.encoding import DTYPES
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.doctor.costs import Answering, Costs, Memory
from bridgelab.doctor.machine import memory_bytes
from bridgelab.doctor.measurement import allocated, at_size, extrapolated
from bridgelab.doctor.random_models import (
    Layers,
    RandomText,
    RandomVision,
    eight_bit_bytes,
    text_model,
    weight_bytes,
)
from bridgelab.doctor.workload import Lengths, Workload
from bridgelab.model import BridgedModel
from bridgelab.optim.parameter_groups import parameter_groups

REPEATS, MAX_SECONDS = 5, 2.0  # number of timed calls, or seconds after which no further call is timed
TEXT_SHARE = 0.5  # of free memory that the T5's weights may take; the rest is for the ViT and a step
SCENE_TOKENS = 96  # of a scene in words: as many as the built-in world's have at most
ENCODED = 64  # images that the encoder reads at once, as in `data.features.feature_store`
PIXELS = (640, 480)  # of noise


class DryRun(Backbones):
    """Two frozen models of true size, and a bridge between them as a run's config says.

    Args:
        config: of a run.
        device: where it would train.
        text: the T5's configuration.
        visual: the ViT, on the meta device.
        images: of one example.
        processes: that share a batch.
    """

    def __init__(
        self, config: DictConfig, device: torch.device, text: T5Config, visual: nn.Module, *, images: int = 1,
        processes: int = 1,
    ):  # fmt: skip
        self.config, self.device, self.images, self.processes = config, device, images, processes
        self.hub_bridge = None  # its weights do not matter here
        self.sees = getattr(target(config.bridge, "bridge"), "sees", "image")
        self.batch_size = -(-config.train.batch_size // processes)
        self.micro_batches = config.trainer.get("accumulate_grad_batches", 1)
        self.micro_batch_size = -(-self.batch_size // self.micro_batches)
        self.layers = Layers(text.num_layers, text.num_decoder_layers)
        options = config.text
        dtype, attention = getattr(torch, options.get("dtype", "float32")), options.get("attention", "eager")
        whole = text_model(text, dtype, attention)
        self.text_bytes = weight_bytes(whole)
        self.text_memory = eight_bit_bytes(whole) if options.get("eight_bit") else self.text_bytes
        self.depths = depths(self.layers, TEXT_SHARE * free_bytes(device) / self.text_bytes)
        self.text: Any = RandomText(text, self.depths[-1], options, device)
        self.vision = None if self.sees == "nothing" else RandomVision(visual, config.vision)
        widths = {"image": getattr(self.vision, "dim", 1), "words": self.text.dim, "nothing": 1}
        self.vision_dim = widths[self.sees]
        self.trained = round(float(self._of_all_layers(lambda: np.array([trained_numel(self.bridged())]))[0]))

    def start(self, seed: int, bridge_class: Any, choices: dict[str, Any]) -> None:
        """Return None: the weights that a bridge starts from do not matter here."""

    def load_file(self, bridge: nn.Module, source: Any) -> Mapping[str, Tensor]:
        """Load nothing: as for `start`."""
        return {}

    def bridged(self) -> BridgedModel:
        """Return a new bridge between both models, with an output scale of 1."""
        model = self.model(0, images=self.images)
        if model.scale.isnan():
            model.scale.fill_(1.0)
        return model

    def batch(self, examples: int, lengths: Lengths, conditioning: str = "none") -> Batch:
        """Return random examples whose prompts and targets have exactly these lengths."""
        vocabulary = self.text.model.config.vocab_size

        def ids(length: int) -> Tensor:
            return torch.randint(2, vocabulary, (examples, length), device=self.device)

        if self.sees == "image":
            shape = (examples, self.patches(self.images), self.vision_dim)
            patches = torch.randn(shape, device=self.device).to(DTYPES[self.config.data.dtype])
        elif self.sees == "words":
            patches = self.text.embed(ids(SCENE_TOKENS))
        else:
            patches = torch.zeros(examples, 1, 1, device=self.device)
        mask = torch.ones(examples, lengths.prompt, dtype=torch.bool, device=self.device)
        prompts = {"prompt": ids(lengths.prompt), "prompt_mask": mask}
        questions = {"question": ids(lengths.prompt), "question_mask": mask} if conditioning != "none" else {}
        return {"patches": patches, "labels": ids(lengths.target), **prompts, **questions}

    def trial(
        self, examples: int, lengths: Lengths
    ) -> tuple[BridgedModel, torch.optim.Optimizer, Callable[[], None]]:
        """Return a new model, its optimizer, and a training step on micro-batches of so many examples."""
        model = self.bridged().train()
        batch = self.batch(examples, lengths, model.conditioning)
        groups = parameter_groups(model)
        optimizer = build(self.config.optim, "optim")(groups, lr=1e-4)
        clip = self.config.trainer.get("gradient_clip_val")

        def step() -> None:
            optimizer.zero_grad()
            for _ in range(self.micro_batches):
                model(batch).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
            optimizer.step()

        return model, optimizer, step

    def step_seconds(self, lengths: Lengths) -> float:
        """Return the seconds of a training step."""

        def measure(examples: int) -> np.ndarray:
            *_, step = self.trial(examples, lengths)
            return np.array([self._seconds(step)])

        return float(self._at_true_size(measure, self.micro_batch_size)[0])

    def flops(self, lengths: Lengths) -> float:
        """Return the operations of both passes of a training step on one example, two a multiplication."""

        def measure(examples: int) -> np.ndarray:
            model = self.bridged().train()
            batch = self.batch(examples, lengths, model.conditioning)
            with FlopCounterMode(display=False) as counter:
                model(batch).backward()
            return np.array([0.0, counter.get_total_flops()])

        return float(self._at_true_size(measure, 1)[1])

    def memory(self, lengths: Lengths) -> Memory:
        """Return the bytes of training on batches of these lengths."""

        def measure(examples: int) -> np.ndarray:
            model, optimizer, step = self.trial(examples, lengths)
            began = time.perf_counter()
            # Gradients, the optimizer's state, and copies of the T5's weights.
            kept = allocated(step, self.device).kept
            peak = allocated(step, self.device).peak
            weights = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
            state = _state_bytes(optimizer)
            return np.array([time.perf_counter() - began, kept, peak, weights, state])

        _, kept, peak, weights, state = (
            self._at_true_size(measure, self.micro_batch_size) if self.trained else np.zeros(5)
        )
        return Memory(
            text=self.text_memory + max(0.0, kept - weights - state),
            vision=0 if self.vision is None else weight_bytes(self.vision),
            trained=2 * weights + state,
            step=peak,
        )

    def answering(self, lengths: Lengths, tokens: int) -> Answering:
        """Return the cost of an evaluation whose answers have this many tokens."""
        size, beams = self.config.evaluate.batch_size, self.config.evaluate.get("num_beams", 1)

        @torch.inference_mode()
        def measure(examples: int) -> np.ndarray:
            model = self.bridged().eval()
            batch = self.batch(examples, lengths, model.conditioning)
            encoded = model.encode(batch)
            calls: list[Callable[[], object]] = [
                partial(model.encode, batch),
                partial(model.generate, batch, max_new_tokens=tokens, num_beams=beams, encoded=encoded),
                partial(model.likelihood, batch, encoded),
            ]
            peak = allocated(lambda: [call() for call in calls], self.device).peak
            seconds = [self._seconds(call) for call in calls]
            return np.array([sum(seconds), *seconds, peak])

        _, *seconds, peak = self._at_true_size(measure, size)
        encode, generate, score = (one / size for one in seconds)
        return Answering(encode, generate, score, peak)

    def encoding(self, images: Sequence[bytes] = ()) -> tuple[float, float]:
        """Return the seconds to bring an image into the feature store, and the bytes of a batch of images.

        Args:
            images: contents of some image files; noise is written if there are none.
        """
        if self.vision is None or self.sees != "image":
            return 0.0, 0.0
        vision = self.vision.on(self.device)

        def measure(number: int) -> np.ndarray:
            pixels = torch.zeros(number, *vision.image_size, 3, dtype=torch.uint8)
            peak = allocated(lambda: vision.patches(pixels), self.device).peak
            with tempfile.TemporaryDirectory() as folder:
                paths = write_images(Path(folder), images or [noise()], number)
                store = FeatureStore(
                    Path(folder) / "features", vision, dtype=self.config.data.dtype, batch_size=ENCODED
                )
                began = time.perf_counter()
                store.features(paths)
                return np.array([time.perf_counter() - began, peak])

        seconds, peak = at_size(measure, ENCODED)
        return seconds / ENCODED, peak

    def _at_true_size(self, measure: Callable[[int], np.ndarray], size: int) -> np.ndarray:
        """Return a measurement with all layers, at a batch size."""
        return self._of_all_layers(lambda: at_size(measure, size))

    def _of_all_layers(self, measure: Callable[[], np.ndarray]) -> np.ndarray:
        """Return a measurement with all layers."""
        values = {}
        for layers in self.depths:
            self.text.truncate(layers)
            values[sum(layers)] = measure()
            gc.collect()
        return extrapolated(values, sum(self.layers))

    def _seconds(self, call: Callable[[], object]) -> float:
        """Return the median seconds of a call, after one that takes memory and chooses kernels."""

        def timed() -> float:
            began = time.perf_counter()
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - began

        timed()
        taken = [timed()]
        while len(taken) < REPEATS and sum(taken) < MAX_SECONDS:
            taken.append(timed())
        return statistics.median(taken)


def measure_costs(dry_run: DryRun, workload: Workload, process: int) -> Costs:
    """Measure all costs of a run with this workload.

    Args:
        process: bytes of this process before any model was built.
    """
    evaluations = dict(workload.val) | dict(workload.test)
    step = flops = 0.0
    if dry_run.trained:
        step = sum(share * dry_run.step_seconds(lengths) for share, lengths in workload.pools.values())
        flops = dry_run.flops(max(workload.pools.values())[1])
    memory = dry_run.memory(workload.longest)
    answering = {
        kind: dry_run.answering(one.lengths, max(1, one.tokens)) for kind, one in evaluations.items()
    }
    image, encoding = dry_run.encoding(workload.image_files)
    on_cpu = dry_run.device.type == "cpu"
    return Costs(step, flops, image, encoding, answering, memory, process if on_cpu else 0)


def trained_numel(model: nn.Module) -> int:
    """Return the number of weights that are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def depths(full: Layers, share: float) -> list[Layers]:
    """Return the numbers of layers to measure with: all of them, or two smaller numbers if that share of them fits."""
    if share >= 1:
        return [full]
    more = Layers(*(min(number, max(2, int(share * number))) for number in full))
    return [Layers(*(max(1, number // 2) for number in more)), more]


def free_bytes(device: torch.device) -> int:
    """Return the bytes that are free on a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory_bytes()[1]


def noise() -> bytes:
    """Return a JPEG file of noise in the size of a photograph."""
    file = io.BytesIO()
    Image.effect_noise(PIXELS, 50).convert("RGB").save(file, "jpeg", quality=90)
    return file.getvalue()


def write_images(folder: Path, images: Sequence[bytes], number: int) -> list[str]:
    """Write this many image files, with these contents in turn, and return their paths.

    No two are alike, since the feature store encodes equal files once: decoders ignore what follows the image.
    """
    paths = [folder / str(index) for index in range(number)]
    for index, (path, content) in enumerate(zip(paths, itertools.cycle(images), strict=False)):
        path.write_bytes(content + b" %d" % index)
    return list(map(str, paths))


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.numel() * value.element_size() for value in tensors if isinstance(value, Tensor))
