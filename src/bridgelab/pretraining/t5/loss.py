"""A reader's encoder input, with the scene in front of the prompt as a bridge's tokens are, and its loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bridgelab.pretraining.t5.batches import NONE, PAD
from bridgelab.pretraining.t5.trace_heads import TraceHeads

Blur = Callable[[Tensor], Tensor]


def blur_scenes(prefix: Tensor, share: float, generator: torch.Generator) -> Tensor:
    r"""Mix noise into a share of the scenes: $a x + \sqrt{1 - a^2}\, s \epsilon$, $a$ uniform in [0, 1], $s$ the batch's RMS.

    A bridge starts as noise to the T5. A T5 that never met noise reads it as some scene, with confidence, and gives the
    bridge no useful gradient. One that did falls back on its prior, and follows the evidence as it grows.
    The idea is CapDec's (Nukrai et al. 2022, arXiv:2211.00575), there at one strength.

    Args:
        prefix: [batch, position, dim].
        share: chance that a scene is blurred.
        generator: of the noise.
    """
    device, shape = prefix.device, (len(prefix), 1, 1)
    clear = torch.rand(shape, generator=generator).to(device)
    chosen = torch.rand(shape, generator=generator).to(device) < share
    noise = torch.randn(prefix.shape, generator=generator).to(device) * prefix.detach().square().mean().sqrt()
    return torch.where(chosen, clear * prefix + (1 - clear**2).sqrt() * noise, prefix)


def encoder_input(model: Any, batch: dict[str, Tensor], blur: Blur | None = None) -> tuple[Tensor, Tensor]:
    """Return the scene's vectors, then the prompt's embeddings, [batch, position, dim], and the attention mask.

    Args:
        model: a T5.
        batch: as `batches.collate` returns it.
        blur: applied to the scene's vectors.
    """
    groups, prompt = batch["prefix"], batch["prompt"]
    prefix = (model.shared(groups.clamp(min=0)) * (groups != NONE).unsqueeze(-1)).sum(2)
    if blur is not None:
        prefix = blur(prefix)
    mask = torch.cat([prompt.new_ones(prefix.shape[:2]), (prompt != PAD).long()], 1)
    return torch.cat([prefix, model.shared(prompt)], 1), mask


def loss_and_hits(
    model: Any, batch: dict[str, Tensor], heads: TraceHeads | None = None, blur: Blur | None = None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Return the cross-entropy per target token, which examples greedy decoding gets right, and what `heads` returns.

    Returns:
        The loss; bool [batch], whether each word of the target is the likeliest; None without `heads`.
    """
    embedded, mask = encoder_input(model, batch, blur)
    labels = batch["target"].masked_fill(batch["target"] == PAD, -100)
    out = model(
        inputs_embeds=embedded, attention_mask=mask, labels=labels, output_hidden_states=heads is not None
    )
    logits = out.logits.float()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    hits = ((logits.argmax(-1) == labels) | (labels == -100)).all(1)
    return loss, hits, heads(out.encoder_hidden_states, batch) if heads else None
