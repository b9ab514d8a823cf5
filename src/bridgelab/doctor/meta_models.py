"""Both frozen sides in their true shapes, with random weights and few layers: nothing is read or downloaded.

What a layer costs does not depend on its weights' values.
"""

import copy
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from omegaconf import DictConfig
from open_clip.coca_model import CoCa
from open_clip.model import CLIP
from safetensors import safe_open
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoTokenizer, T5Config, T5ForConditionalGeneration

from bridgelab.doctor.layer_costs import Layers
from bridgelab.doctor.reachable import MINIATURE, T5_WEIGHTS, cached
from bridgelab.text.published import published_config
from bridgelab.text.t5 import ASSETS, T5
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.vision.tower import tower_shape

HEAD = "lm_head.weight"
SPREAD = 0.02  # deviation of random weights: scores stay where a trained T5's lie


def text_config(path: str) -> T5Config:
    """A T5's configuration, from the package, a folder, the hub's cache or the table of those published.

    Its `own_head` says whether the output has a matrix of its own, which transformers looks up in the weights.

    Raises:
        ValueError: if none of these has it, or it is no T5's.
    """
    folder = ASSETS / "text" if path == MINIATURE else Path(path)
    there = folder if folder.is_dir() else cached(path, "config.json")
    found = AutoConfig.from_pretrained(there) if there else published_config(path)
    if found is None:
        raise ValueError(
            f"text.path={path}: its shape is not known, since no folder, no cache and no table here has it. "
            f"Run: hf download {path} config.json"
        )
    if found.model_type != "t5":
        raise ValueError(
            f"text.path={path} is a model of the kind {found.model_type!r}: it must be a T5. Set text.path to one."
        )
    found.own_head = not found.scale_decoder_outputs  # so of all that were published
    if there:
        folder = there if there.is_dir() else there.parent
        whole, index = (folder / name for name in T5_WEIGHTS)
        if index.is_file():
            found.own_head = HEAD in json.loads(index.read_text())["weight_map"]
        elif whole.is_file():
            with safe_open(whole, "pt") as file:
                found.own_head = HEAD in file.keys()  # noqa: SIM118 - it is no dictionary
    return found


def tokenizer(path: str) -> Any | None:
    """What tokenizes as a T5 does, from the package, a folder or the hub's cache; None where none of these has it."""
    there = str(ASSETS / "text") if path == MINIATURE else path
    try:
        own: Any = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(there, local_files_only=True))
    except (OSError, ValueError):
        return None
    own.tokenize = partial(T5.tokenize, own)
    return own


def text_model(config: T5Config, dtype: torch.dtype, attention: str, layers: Layers | None = None) -> Any:
    """A T5 on no memory, with as many layers as are asked for, or its own."""
    config = copy.deepcopy(config)
    if layers:
        config.num_layers, config.num_decoder_layers = layers.encoder, layers.decoder
    with torch.device("meta"):
        model = T5ForConditionalGeneration._from_config(config, dtype=dtype, attn_implementation=attention)
    if getattr(config, "own_head", False):
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
    return model


def tower(config: DictConfig) -> nn.Module:
    """The ViT that a run's config names, on no memory.

    Raises:
        ValueError: if its shape is not known here.
    """
    weights = str(config.weights)
    if weights == MINIATURE or weights.endswith(".safetensors"):
        path = ASSETS / "vision.json" if weights == MINIATURE else Path(weights).with_suffix(".json")
        given = json.loads(path.read_text())["model_cfg"]
        with torch.device("meta"):
            return (CoCa if "multimodal_cfg" in given else CLIP)(**given).visual
    if weights.startswith("hf-hub:"):
        repo = weights.removeprefix("hf-hub:")
        if (there := cached(repo, "open_clip_config.json")) is None:
            raise ValueError(
                f"vision.weights={weights}: its shape is not known here. Run: hf download {repo} open_clip_config.json"
            )
        weights = f"local-dir:{there.parent}"
    elif not weights.startswith("local-dir:") and weights not in open_clip.list_models():
        raise ValueError(
            f"vision.weights={weights!r} is no model of open_clip. Set it to one of open_clip.list_models(), to "
            "hf-hub:org/model, local-dir:folder, or to a .safetensors file."
        )
    with torch.device("meta"):
        model = open_clip.create_model(
            weights,
            load_weights=False,
            pretrained_text=False,
            force_image_size=config.get("image_size"),
            device="meta",
        )
    return model.visual


def filled(module: nn.Module, device: torch.device) -> nn.Module:
    """The module on memory, its weights drawn at random, its norms the identity; what was shared stays so."""
    made: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            if id(weight) not in made:
                drawn = torch.empty_like(weight, device=device)
                drawn = drawn.fill_(1.0) if drawn.ndim < 2 else drawn.normal_(0, SPREAD)
                made[id(weight)] = nn.Parameter(drawn, requires_grad=weight.requires_grad)
            setattr(part, name, made[id(weight)])
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, torch.zeros_like(buffer, device=device))
    return module


class ShapedText(T5):
    """A T5 of a given shape that has no tokenizer.

    Args:
        config: its shape.
        layers: how many it gets.
        settings: of a run's text side; 8 bits and a map of devices are passed over.
        device: where it lies.
    """

    def __init__(self, config: T5Config, layers: Layers, settings: Mapping[str, Any], device: torch.device):
        nn.Module.__init__(self)
        dtype, attention = (
            getattr(torch, settings.get("dtype", "float32")),
            settings.get("attention", "eager"),
        )
        self.model = filled(text_model(config, dtype, attention, layers), device)
        self.model.requires_grad_(False).eval()
        # An answer is as long as it is asked to be.
        self.model.generation_config.eos_token_id = None  # type: ignore[union-attr]
        self.placed, self.checkpointing = False, bool(settings.get("checkpointing"))
        self._blocks = (self.model.encoder.block, self.model.decoder.block)  # type: ignore[union-attr]
        for block in (*self._blocks[0], *self._blocks[1]) if self.checkpointing else ():  # type: ignore[misc]
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def cut(self, layers: Layers) -> None:
        """Leave so many layers of those that there are."""
        for side, blocks, number in zip(
            (self.model.encoder, self.model.decoder),
            self._blocks,
            (layers.encoder, layers.decoder),
            strict=True,
        ):
            side.block = blocks[:number]  # type: ignore[union-attr, index]


class ShapedVision(OpenClipVision):
    """A tower of a given shape, on no memory until it is asked to see.

    Args:
        visual: the tower.
        settings: of a run's vision side.
    """

    def __init__(self, visual: nn.Module, settings: Mapping[str, Any]):
        nn.Module.__init__(self)
        self.visual = visual.requires_grad_(False).eval()
        self.shape = tower_shape(visual)
        self.layer = settings.get("layer", -1) % self.shape.depth
        self.cls, self.final_norm = settings.get("cls", False), settings.get("final_norm", True)
        self.dtype = getattr(torch, settings.get("dtype", "float32"))
        self.dim, self.image_size, self.grid = self.shape.dim, self.shape.image, self.shape.grid
        self.interpolation = "bicubic"
        for name in ("mean", "std"):
            self.register_buffer(name, torch.ones(1, 3, 1, 1), persistent=False)

    @property
    def blocks(self) -> Any:
        """The tower's blocks."""
        visual: Any = self.visual
        return visual.transformer.resblocks if hasattr(visual, "transformer") else visual.trunk.blocks

    def see(self, blocks: int, device: torch.device) -> "ShapedVision":
        """A copy with so many blocks, on memory, the last of which gives the features."""
        own = ShapedVision(copy.deepcopy(self.visual), {"cls": self.cls, "final_norm": self.final_norm})
        visual: Any = own.visual
        if hasattr(visual, "transformer"):
            visual.transformer.resblocks = own.blocks[:blocks]
        else:
            visual.trunk.blocks = own.blocks[:blocks]
        own.layer, own.dtype = blocks - 1, self.dtype
        own.visual = filled(visual.to(self.dtype), device)
        own.mean, own.std = own.mean.to(device), own.std.to(device)
        return own
