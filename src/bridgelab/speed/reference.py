"""Our bridges beside the transformers classes, or beside their authors' way with torch's modules, with the same weights.

Both run forward and backward (the gradient of every weight) on the same patches in turn, so that other load slows both alike. The
reference runs without dropout, as ours does, in whichever `attn_implementation` is the fastest here. The matrix products of our step,
repeated by themselves, are a lower bound for both. Memory is what a forward pass keeps for its backward pass, without the weights.
On a CPU the memory that a step frees is kept for the next one, as on a GPU it always is: otherwise a published size's gigabytes of
gradients are mapped page by page in each step, which adds much time and noise to both.
"""

import ctypes
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel
from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig
from transformers.models.idefics2.modeling_idefics2 import Idefics2MLP, Idefics2PerceiverResampler

from bridgelab.bridge.convert import to_published
from bridgelab.bridge.d_abstractor import DAbstractor
from bridgelab.bridge.ldp_v2 import LDPv2
from bridgelab.bridge.matryoshka import MatryoshkaQueries
from bridgelab.bridge.perceiver_idefics2 import Idefics2Perceiver
from bridgelab.bridge.perceiver_qwen import QwenResampler
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.token_packer import TokenPacker
from bridgelab.model import bf16_is_fast
from bridgelab.speed.connectors import DeformableQueries, NestedQueries, Packer, PooledConvolution, Qwen
from bridgelab.speed.cross_attention import Block, IdeficsBlock
from bridgelab.speed.matmul_bound import products_of

COLUMNS = (
    "bridge",
    "size",
    "precision",
    "ours ms",
    "theirs ms",
    "their attention",
    "theirs/ours",
    "ours/products",
    "ours MB",
    "theirs MB",
)
TIMES = 7
WARM_UP = 2
ATTENTION = ("eager", "sdpa")
FIRST = 3  # rounds after which the reference's slower implementation drops out
LARGE = ("perceiver_idefics2", "a block of gated cross-attention")  # at their published sizes
LEAST_MEMORY = 16 * 2**30  # for two of Idefics2's connectors and their gradients in float32
# Parameters of glibc's mallopt, each with the most that glibc itself sets it to.
MALLOPT = {-3: 32 * 2**20, -1: 64 * 2**20}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


class Blip2(nn.Module):
    """transformers' Q-Former, with the norm before and the projection behind it that ours contains."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        width = choices["width"]
        config = Blip2QFormerConfig(
            hidden_size=width,
            num_hidden_layers=choices["depth"],
            num_attention_heads=choices["num_heads"],
            intermediate_size=4 * width,
            encoder_hidden_size=vision_dim,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation=attention,
        )
        self.query_tokens = nn.Parameter(torch.zeros(1, choices["num_queries"], width))
        self.vision_model = nn.ModuleDict({"post_layernorm": nn.LayerNorm(vision_dim, eps=1e-6)})
        self.qformer = Blip2QFormerModel(config)
        self.language_projection = nn.Linear(width, text_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, query, text_dim]."""
        normed = self.vision_model["post_layernorm"](patches)
        queries = self.query_tokens.expand(len(patches), -1, -1)
        return self.language_projection(self.qformer(queries, encoder_hidden_states=normed).last_hidden_state)


class Idefics2(nn.Module):
    """transformers' projection and resampler."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        config = Idefics2PerceiverConfig(
            hidden_size=text_dim,
            resampler_n_latents=choices["num_queries"],
            resampler_depth=choices["depth"],
            resampler_n_heads=choices["num_heads"],
            resampler_head_dim=choices["head_dim"],
            num_key_value_heads=choices["num_kv_heads"],
            attn_implementation=attention,
        )
        hidden = choices.get("hidden_dim", 4 * text_dim)
        connector = {
            "modality_projection": Idefics2MLP(vision_dim, hidden, text_dim, "silu"),
            "perceiver_resampler": Idefics2PerceiverResampler(config),
        }
        self.model = nn.ModuleDict({"connector": nn.ModuleDict(connector)})

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, query, text_dim]."""
        connector: Any = self.model["connector"]
        real = torch.ones(patches.shape[:2], dtype=torch.long, device=patches.device)
        return connector["perceiver_resampler"](connector["modality_projection"](patches), real)


@dataclass(frozen=True)
class SpeedCase:
    """A bridge of ours and its reference, at one size and precision.

    Args:
        form: of `bridge.convert`, which converts our weights to theirs; None if their names are ours.
        patches: (batch, patches) of the images.
    """

    name: str
    size: str
    ours: type[nn.Module]
    theirs: Callable[..., nn.Module]
    form: str | None
    widths: tuple[int, int]
    choices: dict[str, Any]
    patches: tuple[int, int]
    precision: str
    compiled: bool


SIZES: tuple[tuple[str, str, type[nn.Module], Callable[..., nn.Module], str | None, tuple[int, int], dict, tuple[int, int]], ...] = (
    (
        "qformer", "ours", QFormer, Blip2, "blip2_hf", (160, 128),
        {"num_queries": 16, "depth": 2, "width": 128, "num_heads": 4}, (16, 64),
    ),
    (
        "perceiver_idefics2", "ours", Idefics2Perceiver, Idefics2, "idefics2", (160, 128),
        {"num_queries": 16, "depth": 2, "num_heads": 4, "num_kv_heads": 1, "head_dim": 32}, (16, 64),
    ),
    (
        "token_packer", "ours", TokenPacker, Packer, None, (160, 128),
        {"grid": (8, 8), "ratio": 2, "num_heads": 4, "width": 128}, (16, 64),
    ),
    (
        "perceiver_qwen", "ours", QwenResampler, Qwen, None, (160, 128),
        {"grid": (8, 8), "num_queries": 16, "num_heads": 4}, (16, 64),
    ),
    (
        "ldp_v2", "ours", LDPv2, PooledConvolution, None, (160, 128), {"grid": (8, 8), "num_tokens": 16}, (16, 64),
    ),
    (
        "d_abstractor", "ours", DAbstractor, DeformableQueries, None, (160, 128),
        {"grid": (8, 8), "num_tokens": 16, "depth": 2, "num_heads": 4, "num_points": 4, "width": 128}, (16, 64),
    ),
    (
        "matryoshka", "ours", MatryoshkaQueries, NestedQueries, None, (160, 128),
        {"grid": (8, 8), "num_queries": 16, "num_heads": 4}, (16, 64),
    ),
    (
        "matryoshka", "published", MatryoshkaQueries, NestedQueries, None, (1024, 4096),
        {"grid": (24, 24), "num_queries": 256, "num_heads": 16}, (1, 576),
    ),
    (
        "token_packer", "published", TokenPacker, Packer, None, (1024, 4096),
        {"grid": (24, 24), "ratio": 2, "num_heads": 8, "width": 1024}, (1, 576),
    ),
    (
        "perceiver_qwen", "published", QwenResampler, Qwen, None, (1664, 4096),
        {"grid": (32, 32), "num_queries": 256, "num_heads": 32}, (1, 1024),
    ),
    (
        "a block of gated cross-attention", "ours", Block, IdeficsBlock, None, (128, 128),
        {"positions": 32, "num_heads": 8, "ffn_dim": 512}, (16, 96),
    ),
    (
        "ldp_v2", "published", LDPv2, PooledConvolution, None, (1024, 2048), {"grid": (24, 24), "num_tokens": 144}, (4, 576),
    ),
    (
        "d_abstractor", "published", DAbstractor, DeformableQueries, None, (1024, 4096),
        {"grid": (24, 24), "num_tokens": 144, "depth": 6, "num_heads": 8, "num_points": 4, "width": 1024}, (1, 576),
    ),
    (
        "qformer", "published", QFormer, Blip2, "blip2_hf", (1408, 2048),
        {"num_queries": 32, "depth": 12, "width": 768, "num_heads": 12}, (4, 257),
    ),
    (
        "perceiver_idefics2", "published", Idefics2Perceiver, Idefics2, "idefics2", (1152, 4096),
        {"num_queries": 64, "depth": 3, "num_heads": 16, "num_kv_heads": 4, "head_dim": 96, "hidden_dim": 14336}, (1, 576),
    ),
    (
        "a block of gated cross-attention", "published", Block, IdeficsBlock, None, (4096, 4096),
        {"positions": 128, "num_heads": 32, "ffn_dim": 11008}, (1, 192),
    ),
)  # fmt: skip


def speed_cases(device: str) -> Iterator[SpeedCase]:
    """Yield all cases that fit this machine: in float32, in bfloat16 if it has it, and on a GPU compiled too."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for size in SIZES:
        if size[0] in LARGE and size[1] == "published" and device == "cpu" and memory < LEAST_MEMORY:
            continue
        for precision in ("fp32", "bf16") if bf16_is_fast(torch.device(device)) else ("fp32",):
            for compiled in (False, True) if device == "cuda" else (False,):
                yield SpeedCase(*size, precision, compiled)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory with the process inside this context; do nothing if the C library has no mallopt."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    for parameter in MALLOPT:
        libc.mallopt(parameter, 2**31 - 1)
    try:
        yield
    finally:
        for parameter, usual in MALLOPT.items():
            libc.mallopt(parameter, usual)
        libc.malloc_trim(0)


def reference_row(case: SpeedCase, device: str) -> list[str]:
    """Return a row under `COLUMNS`."""
    with kept_memory() if device == "cpu" else nullcontext():
        return _row(case, device)


def _row(case: SpeedCase, device: str) -> list[str]:
    ours, theirs, patches = build_models(case, device)
    models = {"ours": ours, **theirs}
    steps = {name: _step(case, model, patches) for name, model in models.items()}
    kept = {name: kept_bytes(step, models[name]) for name, step in steps.items()}
    steps["products"] = products_of(steps["ours"])
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + TIMES):
        if turn == WARM_UP + FIRST:
            slower = max(theirs, key=lambda name: statistics.median(taken[name][WARM_UP:]))
            del steps[slower], taken[slower]
        # In another order each round, so that none always finds the memory that the same other one left.
        for name in random.Random(turn).sample(list(steps), len(steps)):
            began = time.perf_counter()
            steps[name]()
            if device == "cuda":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times[WARM_UP:]) for name, times in taken.items()}
    fastest = next(name for name in median if name in theirs)
    return [
        case.name,
        case.size,
        case.precision + (", compiled" if case.compiled else ""),
        f"{1e3 * median['ours']:.1f}",
        f"{1e3 * median[fastest]:.1f}",
        fastest,
        f"{median[fastest] / median['ours']:.2f}",
        f"{median['ours'] / median['products']:.2f}",
        *(f"{kept[name] / 1e6:.1f}" for name in ("ours", fastest)),
    ]


def kept_bytes(step: Callable[[], object], model: nn.Module) -> int:
    """Return the bytes that the forward pass of a step keeps for its backward pass, without the weights."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(tensor.untyped_storage().nbytes() for at, tensor in kept.items() if at not in weights)


def build_models(case: SpeedCase, device: str) -> tuple[nn.Module, dict[str, nn.Module], Tensor]:
    """Return our bridge, the reference by `attn_implementation`, all with the same weights, and patches for them."""
    torch.manual_seed(0)
    ours = case.ours(*case.widths, **case.choices).to(device)
    # A bridge that draws its number of tokens outputs all of them in eval mode, as the reference does.
    ours.train(not getattr(ours, "draws_tokens", False))
    weights = ours.state_dict()
    if case.form is not None:
        weights = to_published(weights, case.form)
    theirs = {}
    for attention in ATTENTION:
        with torch.device("meta"):
            model = case.theirs(*case.widths, case.choices, attention)
        # Each model has parameters of its own, but all share one memory: gradients are not kept.
        model.load_state_dict(weights, assign=True)
        _move_buffers(model, device)
        theirs[attention] = model.requires_grad_().train()
    return ours, theirs, torch.randn(*case.patches, case.widths[0], device=device)


def _move_buffers(model: nn.Module, device: str) -> None:
    """Move what is not loaded, such as fixed positions, to the device of the weights; what is still on the meta device is not used."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if not buffer.is_meta:
                setattr(module, name, buffer.to(device))


def _step(case: SpeedCase, model: nn.Module, patches: Tensor) -> Callable[[], object]:
    called: Callable[[Tensor], Tensor] = torch.compile(model) if case.compiled else model
    parameters = list(model.parameters())
    autocast = case.precision == "bf16"

    def step() -> object:
        with torch.autocast(patches.device.type, torch.bfloat16) if autocast else nullcontext():
            tokens = called(patches)
        return torch.autograd.grad(tokens, parameters, torch.ones_like(tokens))

    return step
