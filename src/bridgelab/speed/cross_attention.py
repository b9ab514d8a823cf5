"""A block of gated cross-attention, ours and transformers' (Idefics v1), each as a module of one input."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import IdeficsConfig
from transformers.models.idefics.modeling_idefics import IdeficsGatedCrossAttentionLayer

from bridgelab.bridge.gated_cross_attention import GatedCrossAttention

OPEN = 0.5  # $\\alpha$ of both gates: closed ones would leave gradients of zero


class Block(nn.Module):
    """Our block. The first `positions` rows of its input are a text's, the others are visual tokens."""

    def __init__(self, dim: int, _: int, *, positions: int, num_heads: int, ffn_dim: int):
        super().__init__()
        self.positions = positions
        self.block = GatedCrossAttention(dim, num_heads=num_heads, ffn_dim=ffn_dim)
        nn.init.constant_(self.block.alpha_cross_attn, OPEN)
        nn.init.constant_(self.block.alpha_dense, OPEN)

    def forward(self, rows: Tensor) -> Tensor:
        """rows [batch, position + token, dim] -> positions [batch, position, dim]."""
        hidden, tokens = rows[:, : self.positions], rows[:, self.positions :]
        return self.block(hidden, *self.block.cross_attn.keys_and_values(tokens))


class IdeficsBlock(nn.Module):
    """transformers' block, of the same input."""

    def __init__(self, dim: int, _: int, choices: dict[str, Any], attention: str):
        super().__init__()
        self.positions = choices["positions"]
        config = IdeficsConfig(
            hidden_size=dim,
            num_attention_heads=choices["num_heads"],
            intermediate_size=choices["ffn_dim"],
            hidden_act="silu",
            dropout=0.0,
            alpha_type="float",
            vision_config={"embed_dim": dim},
            attn_implementation=attention,
        )
        self.block = IdeficsGatedCrossAttentionLayer(config, layer_idx=0)

    def forward(self, rows: Tensor) -> Tensor:
        """rows [batch, position + token, dim] -> positions [batch, position, dim]."""
        hidden, tokens = rows[:, : self.positions], rows[:, self.positions :]
        reads = torch.ones(hidden.shape[:2], device=rows.device)
        # Idefics always has a mask. Without one its attention would be causal.
        mask = hidden.new_zeros(len(rows), 1, self.positions, tokens.shape[1])
        return self.block(
            hidden, image_hidden_states=tokens, image_attention_mask=mask, cross_attention_gate=reads
        )
