"""The bridge and the choices of published weights, read off the shapes of their tensors by our names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bridgelab.bridge.init_from import METADATA, TEXT_SIDE
from bridgelab.runs.quoted import quoted
from bridgelab.runs.record_schema import Checked, checked

HEAD_DIMS = {"query_tokens": 64, "latents": 64, "perceiver_resampler.latents": 96}  # as published


class Metadata(Checked):
    """What `bridgelab convert` writes of a published bridge."""

    format: str = ""
    bridge: Annotated[str, Field(pattern=r"^[\w./-]+$")]
    choices: dict[str, Any]


def published_choices(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Return the name in `conf/bridge/` and the choices of a bridge with these tensors.

    The number of attention heads is not in the shapes. It follows from the head width of the publication, and is left out if
    that does not divide the width.

    Raises:
        ValueError: if it is no bridge that is published.
    """
    if "mm_projector.weight" in tensors:
        return "linear", {}
    for name, choices in (
        ("mm_projector.0.weight", _mlp), ("query_tokens", _qformer), ("latents", _perceiver), ("perceiver_resampler.latents", _idefics2),
    ):  # fmt: skip
        if name in tensors:
            try:
                return choices(tensors, HEAD_DIMS.get(name, 1))
            # A tensor is missing, a number or empty.
            except (LookupError, ValueError, TypeError, ArithmeticError) as error:
                raise ValueError(
                    f"the bridge of {name!r} is incomplete ({' '.join(str(error).split())}). Download its checkpoint again."
                ) from error
    raise ValueError(
        f"{next(iter(tensors), 'nothing')!r} begins the tensors of no published bridge. Name the bridge: bridge=NAME."
    )


def _mlp(tensors: Mapping[str, Tensor], head_dim: int) -> tuple[str, dict[str, Any]]:
    return "mlp", {"hidden_dim": len(tensors["mm_projector.0.weight"])}


def _qformer(tensors: Mapping[str, Tensor], head_dim: int) -> tuple[str, dict[str, Any]]:
    _, queries, width = tensors["query_tokens"].shape
    crossing = sorted(
        {int(n.split(".")[1]) for n in tensors if n.startswith("layer.") and ".crossattention." in n}
    )
    every = crossing[1] - crossing[0] if len(crossing) > 1 else _count(tensors, "layer.")
    # A first stage has FFNs for words as well, which read captions: its second stage sees no question.
    is_first_stage = any(name.startswith(TEXT_SIDE) for name in tensors)
    conditioned = not is_first_stage and any(".ffn_text." in name for name in tensors)
    return "qformer", {
        "num_queries": queries,
        "depth": _count(tensors, "layer."),
        "width": width,
        **_heads(width, head_dim),
        "cross_attention_every": every,
        "ffn_ratio": len(tensors["layer.0.ffn_query.dense.weight"]) // width,
        "conditioning": "question" if conditioned else "none",
    }


def _perceiver(tensors: Mapping[str, Tensor], head_dim: int) -> tuple[str, dict[str, Any]]:
    heads = _heads(len(tensors["layers.0.0.to_q.weight"]), head_dim)
    return "perceiver", {
        "num_queries": len(tensors["latents"]),
        "depth": _count(tensors, "layers."),
        **heads,
        **({"head_dim": head_dim} if heads else {}),
        "ffn_dim": len(tensors["layers.0.1.1.weight"]),
    }


def _idefics2(tensors: Mapping[str, Tensor], head_dim: int) -> tuple[str, dict[str, Any]]:
    prefix = "perceiver_resampler."
    first = f"{prefix}layers.0."
    heads = _heads(len(tensors[f"{first}self_attn.q_proj.weight"]), head_dim)
    key_heads = _heads(len(tensors[f"{first}self_attn.k_proj.weight"]), head_dim)
    return "perceiver_idefics2", {
        "num_queries": len(tensors[f"{prefix}latents"]),
        "depth": _count(tensors, f"{prefix}layers."),
        **heads,
        **({"num_kv_heads": key_heads["num_heads"], "head_dim": head_dim} if heads and key_heads else {}),
        "hidden_dim": len(tensors["modality_projection.gate_proj.weight"]),
        "ffn_dim": len(tensors[f"{first}mlp.gate_proj.weight"]),
    }


def _heads(width: int, head_dim: int) -> dict[str, int]:
    return {} if width % head_dim else {"num_heads": width // head_dim}


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix))


def file_metadata(tensors: Mapping[str, Tensor], form: str) -> dict[str, str]:
    """Return the metadata that `bridgelab convert` writes beside a published bridge's tensors.

    Args:
        tensors: by our names.
        form: name of the format that they came from.
    """
    bridge, choices = published_choices(tensors)
    return {METADATA: json.dumps({"format": form, "bridge": bridge, "choices": choices})}


def is_complete(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a published bridge has all of its weights: no projection stays at its initial values.

    The first stages of BLIP-2 and OpenFlamingo's resampler have no projection to the language model, and BLIP-2's words come
    from embeddings of BERT's in place of a projection of the T5's.
    """
    bridge, choices = published_choices(tensors)
    needed = ["language_projection."] if bridge in ("qformer", "perceiver") else []
    needed += ["text_projection."] if choices.get("conditioning", "none") != "none" else []
    return all(any(name.startswith(prefix) for name in tensors) for prefix in needed)


def training_overrides(path: str | Path) -> list[str]:
    """Return the overrides of a training that starts from a file of weights: its bridge and choices, as the file names them.

    Raises:
        FileNotFoundError, ValueError: as `read_metadata`.
    """
    about = read_metadata(path)
    choices = [f"bridge.{key}={value}" for key, value in about.get("choices", {}).items()]
    return [f"bridge={about.get('bridge', 'NAME')}", *choices, f"bridge.init_from={quoted(str(path))}"]


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the format, the bridge and the choices that a file of weights names; empty if it names none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file, or its metadata are malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file. Name a file that 'bridgelab convert --from FORMAT' wrote, or hf://ORG/NAME."
        )
    fix = "Write it by 'bridgelab convert --from FORMAT'."
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(METADATA)
        if text is None:
            return {}
        content = from_json(text)
        if "${" in repr(content):  # OmegaConf would resolve it, and with it read the environment
            raise ValueError("it holds an interpolation, ${…}")
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is not a safetensors file with readable metadata ({error}). {fix}"
        ) from error
    checked(path, content, Metadata, fix)
    return dict(content)
