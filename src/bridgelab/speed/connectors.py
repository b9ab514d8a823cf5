"""Connectors that transformers lacks, from its layers and torch's in their authors' way, as references for speed.

Parameters have the names of our bridges. With `attention="eager"` torch's attention layer returns its weights as well, as in the
authors' code, which never turns that off; with `sdpa` it does not and takes its faster path.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import DeformableDetrDecoderLayer

from bridgelab.bridge.perceiver_qwen import resized, sincos_positions

Norm = partial(nn.LayerNorm, eps=1e-6)


def mlp(in_dim: int, width: int) -> nn.Sequential:
    """Return Linear → GELU → Linear."""
    return nn.Sequential(nn.Linear(in_dim, width), nn.GELU(), nn.Linear(width, width))


class QwenPool(nn.Module):
    """Qwen-VL's cross-attention, with queries and positions repeated for each image."""

    query_positions: Tensor
    patch_positions: Tensor

    def __init__(self, vision_dim: int, width: int, choices: dict[str, Any], attention: str):
        super().__init__()
        side = int(choices["num_queries"] ** 0.5)
        self.need_weights = attention == "eager"
        self.query = nn.Parameter(torch.zeros(side**2, width))
        self.kv_proj = nn.Linear(vision_dim, width, bias=False) if vision_dim != width else nn.Identity()
        self.attn = nn.MultiheadAttention(width, choices["num_heads"])
        self.ln_q, self.ln_kv = Norm(width), Norm(width)
        with torch.device("cpu"):  # the rest may be on the meta device until its weights are loaded
            positions = sincos_positions(side, width)
            self.register_buffer("query_positions", positions[:, None], persistent=False)
            of_patches = resized(positions, side, choices["grid"])[:, None]
            self.register_buffer("patch_positions", of_patches, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> [batch, query, width]."""
        context = self.ln_kv(self.kv_proj(patches)).permute(1, 0, 2)
        query = self.ln_q(self.query)[:, None].repeat(1, len(patches), 1)
        query, keys = query + self.query_positions, context + self.patch_positions
        mixed = self.attn(query, keys, context, need_weights=self.need_weights)
        return mixed[0].permute(1, 0, 2)


class Qwen(nn.Module):
    """Qwen-VL's attention, norm and projection."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        width = choices.get("width") or text_dim
        self.attn_pool = QwenPool(vision_dim, width, choices, attention)
        self.ln_post = Norm(width)
        self.proj = nn.Parameter(torch.zeros(width, text_dim))

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, query, text_dim]."""
        return self.ln_post(self.attn_pool(patches)) @ self.proj


class NestedQueries(nn.Module):
    """MQT's cross-attention with all queries; positions are repeated for each image."""

    query_positions: Tensor
    patch_positions: Tensor

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        side = int(choices["num_queries"] ** 0.5)
        self.need_weights = attention == "eager"
        self.query = nn.Parameter(torch.zeros(side**2, vision_dim))
        self.attn = nn.MultiheadAttention(vision_dim, choices["num_heads"])
        self.ln_q, self.ln_k, self.ln_v = Norm(vision_dim), Norm(vision_dim), Norm(vision_dim)
        self.proj = nn.Parameter(torch.zeros(vision_dim, text_dim))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # of our weights
        with torch.device("cpu"):  # the rest may be on the meta device until its weights are loaded
            positions = sincos_positions(side, vision_dim)
            self.register_buffer("query_positions", positions[:, None], persistent=False)
            of_patches = resized(positions, side, choices["grid"])[:, None]
            self.register_buffer("patch_positions", of_patches, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, query, text_dim]."""
        of_queries, of_patches = (
            p.repeat(1, len(patches), 1) for p in (self.query_positions, self.patch_positions)
        )
        query = self.ln_q(self.query[:, None].repeat(1, len(patches), 1) + of_queries)
        context = self.ln_v(patches.permute(1, 0, 2))
        mixed = self.attn(query, self.ln_k(of_patches), context, need_weights=self.need_weights)
        return mixed[0].permute(1, 0, 2) @ self.proj


class Packer(nn.Module):
    """TokenPacker on one layer's features: cells become the batch of torch's attention layer."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        width = choices["width"]
        self.grid, self.ratio, self.need_weights = choices["grid"], choices["ratio"], attention == "eager"
        self.q_proj_1 = nn.Linear(vision_dim, width, bias=False)
        self.k_proj_1, self.v_proj_1 = mlp(vision_dim, width), mlp(vision_dim, width)
        self.ln_q_1, self.ln_k_1, self.ln_v_1 = Norm(width), Norm(width), Norm(width)
        self.clip_attn = nn.MultiheadAttention(width, choices["num_heads"])
        self.mlp = mlp(width, text_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, cell, text_dim]."""
        small = tuple(side // self.ratio for side in self.grid)
        image = patches.transpose(1, 2).unflatten(2, self.grid)
        points = F.interpolate(image, small, mode="bilinear").flatten(2).transpose(1, 2)
        query = self._cells(self.ln_q_1(self.q_proj_1(points)), small, 1)
        keys = self._cells(self.ln_k_1(self.k_proj_1(patches)), self.grid, self.ratio)
        values = self._cells(self.ln_v_1(self.v_proj_1(patches)), self.grid, self.ratio)
        mixed = self.clip_attn(query, keys, values, need_weights=self.need_weights)[0]
        return self.mlp(mixed.reshape(-1, len(patches), mixed.shape[-1]).permute(1, 0, 2))

    @staticmethod
    def _cells(x: Tensor, grid: tuple[int, ...], ratio: int) -> Tensor:
        """[batch, patch, width] -> [place in cell, cell and image, width]."""
        by_place = x.unflatten(1, (grid[0] // ratio, ratio, grid[1] // ratio, ratio))
        return by_place.permute(2, 4, 1, 3, 0, 5).reshape(ratio**2, -1, x.shape[-1])


class DeformableQueries(nn.Module):
    """Honeybee's D-Abstractor: pooled queries through Deformable DETR's decoder layers."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        width, self.grid, self.side = choices["width"], choices["grid"], int(choices["num_tokens"] ** 0.5)
        config = DeformableDetrConfig(
            d_model=width,
            num_feature_levels=1,
            decoder_attention_heads=choices["num_heads"],
            decoder_n_points=choices["num_points"],
            decoder_ffn_dim=width,
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            attn_implementation=attention,
        )
        self.input_proj = nn.Identity() if vision_dim == width else nn.Linear(vision_dim, width)
        self.v_pos_emb = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], width))
        self.query_position_embeddings = nn.Parameter(torch.zeros(self.side**2, width))
        self.reference_points = nn.Parameter(torch.zeros(self.side**2, 2))
        self.layers = nn.ModuleList(DeformableDetrDecoderLayer(config) for _ in range(choices["depth"]))
        self.output_proj = nn.Identity() if text_dim == width else nn.Linear(width, text_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, query, text_dim]."""
        x = self.input_proj(patches) + self.v_pos_emb
        image = x.transpose(1, 2).unflatten(2, self.grid)
        pooled = F.adaptive_avg_pool2d(image, self.side).flatten(2).transpose(1, 2)
        hidden = self.query_position_embeddings[None].repeat(len(x), 1, 1)
        for layer in self.layers:
            hidden = layer(
                hidden,
                object_queries_position_embeddings=pooled,
                reference_points=self.reference_points[None, :, None].repeat(len(x), 1, 1, 1),
                spatial_shapes=torch.tensor([self.grid], device=x.device),
                spatial_shapes_list=[self.grid],
                level_start_index=torch.tensor([0], device=x.device),
                encoder_hidden_states=x,
            )
        return self.output_proj(hidden)


class PooledConvolution(nn.Module):
    """MobileVLM V2's projector, with the pool behind the whole MLP."""

    def __init__(self, vision_dim: int, text_dim: int, choices: dict[str, Any], attention: str):
        super().__init__()
        self.grid, self.side = choices["grid"], int(choices["num_tokens"] ** 0.5)
        self.mlp = mlp(vision_dim, text_dim)
        self.peg = nn.Conv2d(text_dim, text_dim, 3, padding=1, groups=text_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """patches [batch, patch, vision_dim] -> tokens [batch, cell, text_dim]."""
        image = self.mlp(patches).transpose(1, 2).unflatten(2, self.grid)
        pooled = F.adaptive_avg_pool2d(image, self.side)
        return (self.peg(pooled) + pooled).flatten(2).transpose(1, 2)
