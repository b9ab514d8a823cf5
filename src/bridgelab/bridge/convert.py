"""Convert a bridge's weights between this package and published implementations, by tensor name.

A format is a list of templates (theirs, ours). `{i}` or `{p}` stands for one part of a dotted name, `{rest}` for all that
follows. The first template that matches renames a tensor, in either direction. A checkpoint's other tensors (the ViT, the
language model) are ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bridgelab.bridge.weights import OPTIONAL, join_names


@dataclass(frozen=True)
class Format:
    """How a published implementation names a bridge's tensors.

    Args:
        templates: pairs (theirs, ours).
        prefixes: prefixes of the bridge's tensors in their names. A tensor with one that no template matches is an error.
        dropped: pairs (pattern, reason) of their tensors that have no counterpart here.
    """

    templates: tuple[tuple[str, str], ...]
    prefixes: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...] = ()


def _bert(layer: str, attention: str) -> tuple[tuple[str, str], ...]:
    """Return the templates of a Q-Former's layers; `layer` is their prefix, `attention` their name of the inner module."""
    blocks = [
        (f"{layer}.{{i}}.{block}.{attention}.{{rest}}", f"layer.{{i}}.{block}.attention.{{rest}}")
        for block in ("attention", "crossattention")
    ]
    blocks += [
        (f"{layer}.{{i}}.{block}.output.{{rest}}", f"layer.{{i}}.{block}.output.{{rest}}")
        for block in ("attention", "crossattention")
    ]
    for theirs, ours in (("_query", "ffn_query"), ("", "ffn_text")):
        blocks.append((f"{layer}.{{i}}.intermediate{theirs}.dense.{{p}}", f"layer.{{i}}.{ours}.dense.{{p}}"))
        blocks.append((f"{layer}.{{i}}.output{theirs}.{{rest}}", f"layer.{{i}}.{ours}.output.{{rest}}"))
    return tuple(blocks)


_EMBEDDINGS = "BERT's embeddings: the frozen T5's are used instead"
_HF_QFORMER = ("query_tokens", "vision_model.post_layernorm.", "language_projection.", "qformer.")
_HEAD = "a head of the first stage of training"

FORMATS = {
    "llava": Format(
        (
            ("model.mm_projector.{p}", "mm_projector.{p}"),
            ("model.mm_projector.{i}.{p}", "mm_projector.{i}.{p}"),
        ),
        ("model.mm_projector.",),
    ),
    "llava_hf": Format(
        (
            ("multi_modal_projector.linear_1.{p}", "mm_projector.0.{p}"),
            ("multi_modal_projector.linear_2.{p}", "mm_projector.2.{p}"),
        ),
        ("multi_modal_projector.",),
    ),
    "blip2": Format(
        (
            ("query_tokens", "query_tokens"),
            ("ln_vision.{p}", "ln_vision.{p}"),
            ("t5_proj.{p}", "language_projection.{p}"),
            ("Qformer.bert.embeddings.LayerNorm.{p}", "layernorm.{p}"),
            *_bert("Qformer.bert.encoder.layer", "self"),
        ),
        ("query_tokens", "ln_vision.", "t5_proj.", "opt_proj.", "llm_proj.", "Qformer."),
        (
            (r"Qformer\.bert\.embeddings\.(word|position)_.*", _EMBEDDINGS),
            (r"Qformer\.cls\..*", _HEAD),
        ),
    ),
    "blip2_hf": Format(
        (
            ("query_tokens", "query_tokens"),
            ("vision_model.post_layernorm.{p}", "ln_vision.{p}"),
            ("language_projection.{p}", "language_projection.{p}"),
            ("qformer.layernorm.{p}", "layernorm.{p}"),
            *_bert("qformer.encoder.layer", "attention"),
        ),
        _HF_QFORMER,
    ),
    "instructblip_hf": Format(
        (
            ("query_tokens", "query_tokens"),
            ("vision_model.post_layernorm.{p}", "ln_vision.{p}"),
            ("language_projection.{p}", "language_projection.{p}"),
            ("qformer.embeddings.layernorm.{p}", "layernorm.{p}"),
            *_bert("qformer.encoder.layer", "attention"),
        ),
        _HF_QFORMER,
        ((r"qformer\.embeddings\.(word|position)_.*", _EMBEDDINGS),),
    ),
    "openflamingo": Format(
        (
            ("perceiver.latents", "latents"),
            ("perceiver.layers.{rest}", "layers.{rest}"),
            ("perceiver.norm.{p}", "norm.{p}"),
        ),
        ("perceiver.",),
        ((r"perceiver\.(frame_embs|media_time_embs)", "positions in time: an image has none"),),
    ),
    "idefics2": Format(
        (
            ("model.connector.modality_projection.{rest}", "modality_projection.{rest}"),
            ("model.connector.perceiver_resampler.{rest}", "perceiver_resampler.{rest}"),
        ),
        ("model.connector.",),
    ),
}


def from_published(tensors: Mapping[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename a published checkpoint's bridge to our names.

    Args:
        tensors: all tensors of the checkpoint, by their names.
        name: name of the format, one of `FORMATS`.
    Returns:
        The bridge's tensors by our names, and the dropped tensors by their names with the reason.
    Raises:
        ValueError: if there is no such format, no bridge, or a tensor of the bridge that the format does not know.
    """
    form = _format(name)
    converted: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    unknown = []
    for theirs, value in tensors.items():
        reason = next((why for pattern, why in form.dropped if re.fullmatch(pattern, theirs)), None)
        ours = _renamed(theirs, form.templates)
        if reason:
            dropped[theirs] = reason
        elif ours is not None:
            converted[ours] = value
        elif theirs.startswith(form.prefixes):
            unknown.append(theirs)
    if unknown:
        raise ValueError(
            f"{join_names(unknown)} of the checkpoint's bridge are unknown to the format {name!r}. Choose the format that "
            f"names them: {', '.join(FORMATS)}."
        )
    if not converted:
        raise ValueError(
            f"no tensor is named as {name!r} names a bridge's ({', '.join(form.prefixes)}…); the first is "
            f"{next(iter(tensors), 'none')!r}. Choose another format: {', '.join(FORMATS)}."
        )
    last = max((int(n.split(".")[1]) for n in converted if n.startswith("layer.")), default=-1)
    for ours in [n for n in converted if n.startswith(f"layer.{last}.ffn_text.")]:
        dropped[to_published({ours: converted.pop(ours)}, name).popitem()[0]] = "nothing reads its output"
    return converted, dropped


def to_published(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Rename a bridge of ours to a published format's names. `text_projection`, which only we have, is left out.

    Raises:
        ValueError: if there is no such format, or it has no name for a tensor.
    """
    templates = tuple((ours, theirs) for theirs, ours in _format(name).templates)
    renamed = {ours: _renamed(ours, templates) for ours in tensors if not ours.startswith("text_projection.")}
    unnamed = [ours for ours, theirs in renamed.items() if theirs is None and not ours.startswith(OPTIONAL)]
    if unnamed:
        raise ValueError(
            f"{join_names(unnamed)} have no name in the format {name!r}: it belongs to another bridge. "
            f"Choose this bridge's format: {', '.join(FORMATS)}."
        )
    return {theirs: tensors[ours] for ours, theirs in renamed.items() if theirs is not None}


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format={name!r}: must be one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def _renamed(name: str, templates: tuple[tuple[str, str], ...]) -> str | None:
    """Return the name by the first template that matches, or None."""
    for source, target in templates:
        pattern = re.escape(source).replace(r"\{rest\}", "(?P<rest>.+)")
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", pattern)
        match = re.fullmatch(pattern, name)
        if match:
            return target.format(**match.groupdict())
    return None
