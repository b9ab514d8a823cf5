r"""The arithmetic of a run's size: what a T5 computes, what weights hold, what a few layers say of all of them.

Multiplications of one example, for an encoder that reads $r$ positions, a decoder that writes $t$ and attends to $a$, with
$d$ = d_model, $i$ = num_heads · d_kv and $f$ = d_ff · (3 if gated, else 2):
encoder layer $r (4 d i + d f) + 2 r^2 i$; decoder layer $t (6 d i + d f) + 2 a d i + 2 t^2 i + 2 t a i$; output $t d V$.
Backward, each frozen matrix is multiplied by once more, and each product of two activations twice more. What lies before
the first decoder layer's cross-attention has no gradient, since the words that it reads have none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Layers:
    """How many layers a T5's two sides have."""

    encoder: int
    decoder: int


@dataclass(frozen=True)
class Positions:
    """How many positions of one example are read, attended to and written."""

    read: int
    attended: int
    written: int


def text_flops(config: Any, layers: Layers, at: Positions, *, through: bool = True) -> tuple[int, int]:
    """Operations of a T5's forward pass on one example and of the backward pass to its input, two a multiplication.

    Args:
        config: of a T5.
        layers: how many there are.
        at: positions.
        through: whether the encoder's input has a gradient; else the backward pass ends at the decoder.
    """
    d, inner = config.d_model, config.num_heads * config.d_kv
    dense = (3 if config.is_gated_act else 2) * d * config.d_ff
    read, attended, written = at.read, at.attended, at.written
    encoder = read * (4 * d * inner + dense)
    looking_around = 2 * read**2 * inner
    own, looking_back = written * 4 * d * inner, 2 * written**2 * inner
    asking, seen, looking = written * 2 * d * inner, attended * 2 * d * inner, 2 * written * attended * inner
    head = written * d * config.vocab_size
    forward = layers.encoder * (encoder + looking_around) + head
    forward += layers.decoder * (own + looking_back + asking + seen + looking + written * dense)
    backward = head + layers.encoder * (encoder + 2 * looking_around) * through
    first = asking // 2 + seen + looking * 3 // 2 + written * dense
    rest = own + 2 * looking_back + asking + seen + 2 * looking + written * dense
    backward += first + (layers.decoder - 1) * rest
    return 2 * forward, 2 * backward


def weight_bytes(module: nn.Module, each: int | None = None) -> int:
    """Bytes of a module's weights, those that are shared counted once.

    Args:
        module: may lie on the meta device.
        each: bytes of one weight; as they are by default.
    """
    return sum(p.numel() * (each or p.element_size()) for p in module.parameters())


def feature_bytes(images: int, patches: int, dim: int, each: int) -> int:
    """Bytes on disk of the features of some images, `each` being those of a number."""
    return images * patches * dim * each


def extrapolated(measured: Mapping[Layers, float], full: Layers) -> float:
    """What is measured with few layers, for all: a cost that is linear in layers.

    Args:
        measured: at the fewest layers, and where `full` has more of a side, also at more of that side alone.
        full: layers of the whole model.
    """
    least = min(measured, key=lambda layers: layers.encoder + layers.decoder)
    total = measured[least]
    for layers, value in measured.items():
        more = Layers(layers.encoder - least.encoder, layers.decoder - least.decoder)
        if more.encoder:
            total += (value - measured[least]) / more.encoder * (full.encoder - least.encoder)
        elif more.decoder:
            total += (value - measured[least]) / more.decoder * (full.decoder - least.decoder)
    return total


def points(full: Layers, most: int) -> list[Layers]:
    """The sizes at which a model is tried: two layers a side, since the first is unlike the others, and more of each.

    Args:
        full: layers of the whole model.
        most: layers of a side that are tried, where there are so many; at least three.
    """
    least = Layers(min(2, full.encoder), min(2, full.decoder))
    tried = [least]
    if full.encoder > least.encoder:
        tried.append(Layers(min(full.encoder, max(3, most)), least.decoder))
    if full.decoder > least.decoder:
        tried.append(Layers(least.encoder, min(full.decoder, max(3, most))))
    return tried
