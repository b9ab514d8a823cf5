"""Carry a bridge's weights between this package and the published implementations, by tensor name.

A format is a list of templates, theirs and ours; `{i}` stands for one part of a dotted name, `{rest}` for all that follows.
The first that matches names a tensor in either direction. What a checkpoint holds beside its bridge (the ViT, the language
model) is left alone.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Format:
    """How a published implementation names a bridge's tensors.

    Args:
        templates: (theirs, ours).
        belongs: prefixes of their names that are the bridge's; a tensor under one that no template names is an error.
        dropped: patterns of their names that have no place here, and why.
    """

    templates: tuple[tuple[str, str], ...]
    belongs: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...] = ()


def _bert(layer: str, attention: str) -> tuple[tuple[str, str], ...]:
    """A Q-Former's layers: `layer` is their prefix, `attention` their name of the attention proper."""
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


_EMBEDDINGS = "BERT's embeddings: the frozen T5's are read in their place"
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
# What may be fresh beside carried weights: it meets this T5, or this ViT.
FRESH = ("text_projection.", "language_projection.")
_OF_WIDTH = re.compile(r"ln_vision\.|.*crossattention\.attention\.(key|value)\.weight")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file: safetensors, or PyTorch's own without what could run code.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is no file. Name one file of weights (.safetensors, .bin, .pt or .pth)."
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f"{path} is no whole safetensors file ({error}). Fetch or write it again."
            ) from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it meets: pickle's, zip's and its own errors
        raise ValueError(
            f"{path} could not be read as weights alone ({type(error).__name__}). A file that needs code to be run is "
            "not loaded: save its tensors as safetensors."
        ) from error
    for name in ("state_dict", "model"):  # LAVIS and OpenFlamingo wrap their tensors
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise ValueError(f"{path} holds no tensors by name. Save the model's state_dict.")
    return {name.removeprefix("module."): value for name, value in held.items()}


def write_weights(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write safetensors, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    save_file({name: value.contiguous() for name, value in tensors.items()}, aside, dict(metadata or {}))
    aside.chmod(0o644)  # safetensors writes files for their owner alone
    aside.replace(path)


def from_published(tensors: Mapping[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A published checkpoint's bridge in our names.

    Args:
        tensors: all of the checkpoint, by their names.
        name: of the format, one of `FORMATS`.
    Returns:
        The bridge's tensors, and by their names those that are not carried, with the reason.
    Raises:
        ValueError: if there is no such format, no bridge, or a tensor of it that the format does not know.
    """
    form = _format(name)
    carried: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    unknown = []
    for theirs, value in tensors.items():
        reason = next((why for pattern, why in form.dropped if re.fullmatch(pattern, theirs)), None)
        ours = _renamed(theirs, form.templates)
        if reason:
            dropped[theirs] = reason
        elif ours is not None:
            carried[ours] = value
        elif theirs.startswith(form.belongs):
            unknown.append(theirs)
    if unknown:
        raise ValueError(
            f"{_named(unknown)} of the checkpoint's bridge are unknown to the format {name!r}. Choose the format that "
            f"they are named in: {', '.join(FORMATS)}."
        )
    if not carried:
        raise ValueError(
            f"no tensor is named as {name!r} names a bridge's ({', '.join(form.belongs)}…); the first is "
            f"{next(iter(tensors), 'none')!r}. Choose another format: {', '.join(FORMATS)}."
        )
    last = max((int(n.split(".")[1]) for n in carried if n.startswith("layer.")), default=-1)
    for ours in [n for n in carried if n.startswith(f"layer.{last}.ffn_text.")]:
        dropped[to_published({ours: carried.pop(ours)}, name).popitem()[0]] = "nothing reads what it makes"
    return carried, dropped


def to_published(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """A bridge of ours in a published format's names; what is ours alone (`text_projection`) is left out.

    Raises:
        ValueError: if there is no such format, or a tensor that it has no name for.
    """
    form = _format(name)
    back = tuple((ours, theirs) for theirs, ours in form.templates)
    renamed = {ours: _renamed(ours, back) for ours in tensors if not ours.startswith("text_projection.")}
    unnamed = [ours for ours, theirs in renamed.items() if theirs is None and not ours.startswith(FRESH)]
    if unnamed:
        raise ValueError(
            f"{_named(unnamed)} have no name in the format {name!r}: the bridge is another one. "
            f"Choose its format: {', '.join(FORMATS)}."
        )
    return {theirs: tensors[ours] for ours, theirs in renamed.items() if theirs is not None}


def load_bridge(
    bridge: nn.Module, tensors: Mapping[str, Tensor], say: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Give a bridge the weights of a file in our names.

    A Q-Former of another vision width keeps its own start where it meets the patches: the keys and values of
    cross-attention, and the norm before them.

    Args:
        bridge: what is to start from them.
        tensors: by our names.
        say: told what stays as it was.
    Returns:
        The names of the bridge's tensors that stay as they were.
    Raises:
        ValueError: naming the tensors that do not fit.
    """
    own = bridge.state_dict()
    unknown = [name for name in tensors if name not in own]
    missing = [name for name in own if name not in tensors]
    lacking = [name for name in missing if not name.startswith(FRESH)]
    differing = [name for name in tensors if name in own and tensors[name].shape != own[name].shape]
    misfits = [name for name in differing if not _OF_WIDTH.match(name)]
    for names, what in (
        (unknown, "are not in this bridge"),
        (lacking, "are missing"),
        (misfits, "have another shape"),
    ):
        if names:
            shapes = "".join(
                f"; {n} is {tuple(tensors[n].shape)}, here {tuple(own[n].shape)}"
                for n in names[:1]
                if n in misfits
            )
            raise ValueError(
                f"{_named(names)} {what}{shapes}. Give the bridge the choices that the weights were made with, or choose "
                "weights of this bridge."
            )
    kept = [*missing, *differing]
    bridge.load_state_dict({name: tensors[name] for name in tensors if name not in differing}, strict=False)
    if differing:
        say(f"the vision width differs: {_named(differing)} start anew")
    if missing:
        say(f"not in the weights: {_named(missing)} start anew")
    return kept


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format={name!r}: must be one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def _renamed(name: str, templates: tuple[tuple[str, str], ...]) -> str | None:
    for source, target in templates:
        pattern = re.escape(source).replace(r"\{rest\}", "(?P<rest>.+)")
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", pattern)
        match = re.fullmatch(pattern, name)
        if match:
            return target.format(**match.groupdict())
    return None


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
