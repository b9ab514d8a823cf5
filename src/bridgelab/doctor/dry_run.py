"""A run in its true shapes with random weights and few layers: its steps and answers, really executed."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from transformers import T5Config

from bridgelab.backbones import Backbones
from bridgelab.config.instantiate import build, target
from bridgelab.data.batches import LABEL_IGNORED, Batch
from bridgelab.doctor.layer_costs import Layers, Positions
from bridgelab.doctor.ledger import part
from bridgelab.doctor.meta_models import ShapedText, ShapedVision
from bridgelab.model import BridgedModel
from bridgelab.training.lightning_module import parameter_groups

SCENE = 96  # positions of a scene in words, as many as the built-in world's have at most


@dataclass(frozen=True)
class Lengths:
    """How many positions a prompt and a target are padded to, in a batch."""

    prompt: int
    target: int


class Rehearsal(Backbones):
    """Both sides in shape, and what is between them as the config says.

    Args:
        config: of a run.
        device: where it would train.
        text: the T5's configuration.
        visual: the tower, on no memory; not read where the bridge sees no image.
        layers: of the T5, at most.
        images: of one example.
    """

    def __init__(
        self,
        config: DictConfig,
        device: torch.device,
        text: T5Config,
        visual: nn.Module,
        layers: Layers,
        images: int,
    ):
        self.config, self.device, self.images = config, device, images
        self.sees = getattr(target(config.bridge, "bridge"), "sees", "image")
        self.text: Any = ShapedText(text, layers, config.text, device)
        self.vision = None if self.sees == "nothing" else ShapedVision(visual, config.vision)
        self.vision_dim = {"image": getattr(self.vision, "dim", 1), "words": self.text.dim, "nothing": 1}[
            self.sees
        ]

    def bridged(self) -> BridgedModel:
        """The bridge between both sides, at a scale of 1."""
        model = self.model(0, images=self.images)
        if model.scale.isnan():
            model.scale.fill_(1.0)
        return model

    def batch(self, examples: int, lengths: Lengths, conditioning: str = "none") -> Batch:
        """Random examples, all as long as is said."""
        words = self.text.model.config.vocab_size

        def ids(length: int) -> Tensor:
            return torch.randint(2, words, (examples, length), device=self.device)

        if self.sees == "image":
            shape = (examples, self.patches(self.images), self.vision_dim)
            patches = torch.randn(shape, device=self.device).to(getattr(torch, self.config.data.dtype))
        elif self.sees == "words":
            patches = self.text.embed(ids(SCENE))
        else:
            patches = torch.zeros(examples, 1, 1, device=self.device)
        real = torch.ones(examples, lengths.prompt, dtype=torch.bool, device=self.device)
        made = {
            "patches": patches,
            "prompt": ids(lengths.prompt),
            "prompt_mask": real,
            "labels": ids(lengths.target),
        }
        asked = {"question": ids(lengths.prompt), "question_mask": real} if conditioning != "none" else {}
        return made | asked

    def optimizer(self, model: BridgedModel) -> torch.optim.Optimizer:
        """As the config has it, of what is trained."""
        return build(self.config.optim, "optim")(parameter_groups(model), lr=1e-4)

    def step(
        self, model: BridgedModel, optimizer: torch.optim.Optimizer, batch: Batch
    ) -> tuple[float, float]:
        """One training step; seconds of both passes, and of the optimizer.

        Its parts for `ledger`, each from when the gradient has reached it: forward, decoder, encoder, bridge, optimizer.
        """
        began = self.now()
        part("forward")
        optimizer.zero_grad()
        prefix = model.prefix(batch)
        encoded, mask = model.encode_prefix(prefix, batch)
        for tensor, name in ((encoded, "encoder"), (prefix, "bridge")):
            if tensor.requires_grad:
                tensor.register_hook(lambda _, name=name: part(name))
        labels = batch["labels"]
        loss = -model.log_probs((encoded, mask), labels).sum() / (labels != LABEL_IGNORED).sum()
        del prefix, encoded, mask
        part("decoder")
        loss.backward()
        passed = self.now()
        part("optimizer")
        if clip := self.config.trainer.get("gradient_clip_val"):
            trained = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        return passed - began, self.now() - passed

    @torch.inference_mode()
    def answer(
        self, model: BridgedModel, batch: Batch, tokens: int, num_beams: int
    ) -> tuple[float, float, float]:
        """What an evaluation does with a batch; seconds of reading, of writing so many tokens, and of scoring a target."""
        began = self.now()
        part("read")
        encoded = model.encode(batch)
        read = self.now()
        part("write")
        model.generate(batch, max_new_tokens=tokens, num_beams=num_beams, encoded=encoded)
        written = self.now()
        part("score")
        model.likelihood(batch, encoded)
        return read - began, written - read, self.now() - written

    def positions(self, tokens: int, lengths: Lengths) -> Positions:
        """What the T5 reads, attends to and writes of one example.

        Args:
            tokens: that the bridge hands over.
            lengths: of prompt and target.
        """
        attended = tokens + lengths.prompt
        inside = self.config.model.insert == "encoder_input" or self.sees == "words"
        return Positions(attended if inside else lengths.prompt, attended, lengths.target)

    def now(self) -> float:
        """Seconds on a clock, when all that was begun on the device has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
