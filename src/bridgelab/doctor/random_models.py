"""Both frozen models at their true sizes with random weights, so that nothing is downloaded."""

import copy
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import open_clip
import torch
from omegaconf import DictConfig
from open_clip.coca_model import CoCa
from open_clip.model import CLIP
from safetensors import safe_open
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoTokenizer, T5Config, T5ForConditionalGeneration

from bridgelab.doctor.model_availability import T5_WEIGHTS, cached
from bridgelab.text.published import published_config
from bridgelab.text.t5 import ASSETS, SHIPPED, T5, resolve_path
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.vision.tower import no_foreign_code, tower_shape

HEAD = "lm_head.weight"
STD = 0.02  # of random weights: logits stay where a trained T5's lie
DRAWN = 2**20  # random numbers to draw; larger tensors repeat them, which takes a tenth of the time


class Layers(NamedTuple):
    """Numbers of a T5's layers."""

    encoder: int
    decoder: int


def text_config(path: str) -> T5Config:
    """Return a T5's configuration from the package, a folder, the hub's cache or the table of published ones.

    Its attribute `own_head` says whether the output has a matrix of its own, which transformers looks up in the weights.

    Raises:
        FileNotFoundError: if it can only be a folder, and there is none.
        ValueError: if none of these has it, or it is no T5's.
    """
    folder = ASSETS / SHIPPED[path] if path in SHIPPED else Path(resolve_path(path))
    source = folder if folder.is_dir() else cached(path, "config.json")
    config = AutoConfig.from_pretrained(source, trust_remote_code=False) if source else published_config(path)
    if config is None:
        raise ValueError(
            f"text.path={path}: its shape is not known, since no folder, no cache and no table here has it. "
            f"Run: hf download {path} config.json"
        )
    if config.model_type != "t5":
        raise ValueError(
            f"text.path={path} is a model of the kind {config.model_type!r}: it must be a T5. Set text.path to one."
        )
    config.own_head = not config.scale_decoder_outputs  # true of every published T5
    if source:
        folder = source if source.is_dir() else source.parent
        weights, index = (folder / name for name in T5_WEIGHTS)
        if index.is_file():
            config.own_head = HEAD in json.loads(index.read_text())["weight_map"]
        elif weights.is_file():
            with safe_open(weights, "pt") as file:
                config.own_head = HEAD in file.keys()  # noqa: SIM118 - it is no dictionary
    return config


def tokenizer(path: str) -> Any | None:
    """Return an object that tokenizes as this T5 does, or None if its tokenizer is not on this machine."""
    source = str(ASSETS / SHIPPED[path]) if path in SHIPPED else path
    try:
        text: Any = SimpleNamespace(
            tokenizer=AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        )
    except (OSError, ValueError):
        return None
    text.tokenize = partial(T5.tokenize, text)
    text.unknown = partial(T5.unknown, text)
    return text


def text_model(config: T5Config, dtype: torch.dtype, attention: str, layers: Layers | None = None) -> Any:
    """Return a T5 on the meta device, with its own number of layers or another."""
    config = copy.deepcopy(config)
    if layers:
        config.num_layers, config.num_decoder_layers = layers
    with torch.device("meta"):
        model = T5ForConditionalGeneration._from_config(config, dtype=dtype, attn_implementation=attention)
    if getattr(config, "own_head", False):
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
    return model


def tower(config: DictConfig) -> nn.Module:
    """Return the ViT that a run's config names, on the meta device.

    Raises:
        ValueError: if its shape is not known here.
    """
    weights = str(config.weights)
    if weights == "miniature" or weights.endswith(".safetensors"):
        path = ASSETS / "vision.json" if weights == "miniature" else Path(weights).with_suffix(".json")
        choices = json.loads(path.read_text())["model_cfg"]
        with no_foreign_code(), torch.device("meta"):
            return (CoCa if "multimodal_cfg" in choices else CLIP)(**choices).visual
    if weights.startswith("hf-hub:"):
        repo = weights.removeprefix("hf-hub:")
        if (path_in_cache := cached(repo, "open_clip_config.json")) is None:
            raise ValueError(
                f"vision.weights={weights}: its shape is not known here. Run: hf download {repo} open_clip_config.json"
            )
        weights = f"local-dir:{path_in_cache.parent}"
    elif not weights.startswith("local-dir:") and weights not in open_clip.list_models():
        raise ValueError(
            f"vision.weights={weights!r} is not a model of open_clip. Set it to one of open_clip.list_models(), to "
            "hf-hub:org/model, local-dir:folder, or to a .safetensors file."
        )
    with no_foreign_code(), torch.device("meta"):
        model = open_clip.create_model(
            weights,
            load_weights=False,
            pretrained_text=False,
            force_image_size=config.get("image_size"),
            device="meta",
        )
    return model.visual


def weight_bytes(module: nn.Module) -> int:
    """Return the bytes of a module's weights, counting shared ones once; it may lie on the meta device."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def eight_bit_bytes(model: T5ForConditionalGeneration) -> int:
    """Return the bytes of a T5's weights with `text.eight_bit`.

    A weight of a matrix takes one byte. transformers leaves the embeddings, the output and each FFN's `wo` at their type.
    """
    kept = set(T5ForConditionalGeneration._keep_in_fp32_modules)
    matrices = [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".block." in name and name.rpartition(".")[2] not in kept
    ]
    return weight_bytes(model) - sum(p.numel() * (p.element_size() - 1) for p in matrices)


def filled(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module from the meta device, with random matrices and norms of one; shared weights stay shared."""
    drawn: dict[int, nn.Parameter] = {}
    for submodule in module.modules():
        for name, weight in list(submodule.named_parameters(recurse=False)):
            if id(weight) not in drawn:
                drawn[id(weight)] = nn.Parameter(_random(weight, device), weight.requires_grad)
            setattr(submodule, name, drawn[id(weight)])
        for name, buffer in list(submodule.named_buffers(recurse=False)):
            setattr(submodule, name, torch.zeros_like(buffer, device=device))
    return module


def _random(weight: torch.Tensor, device: torch.device) -> torch.Tensor:
    if weight.ndim < 2:
        return torch.ones_like(weight, device=device)
    numbers = torch.empty(min(DRAWN, weight.numel()), dtype=weight.dtype, device=device).normal_(0, STD)
    repeats = -(-weight.numel() // len(numbers))
    return (
        numbers.repeat(repeats)[: weight.numel()].view(weight.shape)
        if repeats > 1
        else numbers.view(weight.shape)
    )


class RandomText(T5):
    """A T5 of a given shape with random weights and no tokenizer.

    Args:
        config: its shape.
        layers: how many it gets.
        options: a run's `text` config; its 8 bits and its map of devices are ignored.
        device: where it lies.
    """

    def __init__(self, config: T5Config, layers: Layers, options: Mapping[str, Any], device: torch.device):
        nn.Module.__init__(self)
        dtype, attention = getattr(torch, options.get("dtype", "float32")), options.get("attention", "eager")
        model: Any = filled(text_model(config, dtype, attention, layers), device)
        model.requires_grad_(False).eval()
        model.generation_config.eos_token_id = None  # so that an answer has the requested length
        self.model, self.placed, self.checkpointing = model, False, bool(options.get("checkpointing"))
        self._blocks = (model.encoder.block, model.decoder.block)
        for block in (*self._blocks[0], *self._blocks[1]) if self.checkpointing else ():
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def truncate(self, layers: Layers) -> None:
        """Use the first layers alone, of those that there are."""
        model: Any = self.model
        for stack, blocks, number in zip((model.encoder, model.decoder), self._blocks, layers, strict=True):
            stack.block = blocks[:number]


class RandomVision(OpenClipVision):
    """A tower of a given shape, on the meta device until it is `filled`.

    Args:
        visual: the tower.
        options: a run's `vision` config.
    """

    fingerprint = "random"

    def __init__(self, visual: nn.Module, options: Mapping[str, Any]):
        nn.Module.__init__(self)
        self.dtype = getattr(torch, options.get("dtype", "float32"))
        self.visual = visual.requires_grad_(False).eval().to(self.dtype)
        self.shape = tower_shape(visual)
        self.layer = options.get("layer", -1) % self.shape.depth
        self.cls, self.final_norm = options.get("cls", False), options.get("final_norm", True)
        self.dim, self.image_size, self.grid = self.shape.dim, self.shape.image, self.shape.grid
        self.interpolation = "bicubic"
        for name in ("mean", "std"):
            self.register_buffer(name, torch.ones(1, 3, 1, 1, device="meta"), persistent=False)

    def on(self, device: torch.device) -> "RandomVision":
        """Return a copy with random weights on a device."""
        vision: Any = filled(copy.deepcopy(self), device)
        vision.std.fill_(1.0)
        return vision
