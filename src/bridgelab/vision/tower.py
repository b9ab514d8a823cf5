"""Vision towers of open_clip: from the package's or one's own files, or by the names that open_clip gives them."""

import difflib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bridgelab.lfs_pointer import refuse_pointers

SCHEMES = ("hf-hub:", "local-dir:")
PREPROCESS = ("mean", "std", "interpolation")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shape:
    """What of a tower the features depend on beside its weights.

    Args:
        depth: blocks.
        dim: channels of a patch.
        image: height and width in pixels.
        grid: rows and columns of patches.
        prefix: tokens before the patches, 0 where there is no class token.
        parts: descriptions of its modules, for a fingerprint.
    """

    depth: int
    dim: int
    image: tuple[int, int]
    grid: tuple[int, int]
    prefix: int
    parts: dict[str, Any]


def from_file(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A ViT of a safetensors file (keys 'visual.…') with open_clip's configuration beside it, and its preprocessing.

    The text side is built on no memory and dropped.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if they do not fit each other, or hold no ViT.
    """
    config = _read_config(path)
    family = CoCa if "multimodal_cfg" in config["model_cfg"] else CLIP
    with torch.device("meta"):
        visual = family(**config["model_cfg"]).visual
    if not isinstance(visual, VisionTransformer):
        raise ValueError(
            f"{path.name} holds a {type(visual).__name__}: only a VisionTransformer has patches here. "
            "Choose a ViT."
        )
    try:
        weights = {
            k.removeprefix("visual."): v for k, v in load_file(path).items() if k.startswith("visual.")
        }
        visual.load_state_dict(weights, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{path} does not fit its configuration {path.with_suffix('.json').name}: "
            f"{' '.join(str(error).split()[:40])} … Copy both from the same model."
        ) from error
    return visual, config.get("preprocess_cfg", {})


def by_name(
    name: str, pretrained: str | None, image_size: int | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """A tower that open_clip knows, and its preprocessing.

    Args:
        name: a model of open_clip, such as 'ViT-L-14', or `hf-hub:org/model`, or `local-dir:folder`.
        pretrained: for a model of open_clip, the tag of its weights or a file that holds them.
        image_size: side in pixels if not the model's own; learned positions are interpolated.
    Raises:
        ValueError: if there is no such model or tag, its weights do not fit its configuration, or it has no patches.
        OSError: if its weights can be read from nowhere.
    """
    trained_with: dict[str, Any] = {}
    if not name.startswith(SCHEMES):
        _check_name(name, pretrained)
        trained_with = _trained_with(name, str(pretrained))
    elif pretrained is not None:
        raise ValueError(
            f"vision.pretrained={pretrained!r}, but {name} names its own weights. Set vision.pretrained=null."
        )
    elif name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        if not folder.is_dir():
            raise FileNotFoundError(
                f"vision.weights={name}: there is no folder {folder.absolute()}. Set vision.weights=local-dir:FOLDER to one that "
                "is there."
            )
        refuse_pointers(sorted(folder.iterdir()), f"vision.weights={name}")
    try:
        model = open_clip.create_model(
            name, pretrained=pretrained, force_image_size=image_size, require_pretrained=True, **trained_with
        )
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        SafetensorError,
    ) as error:  # a file's, a download's or a hub's own
        if "Error(s) in loading state_dict" in str(
            error
        ):  # open_clip loads strictly, and this is torch's word for it
            raise ValueError(
                f"the weights of {name}{f' ({pretrained})' if pretrained else ''} do not fit its configuration: "
                f"{' '.join(str(error).split())[:300]} … Copy both from one model, whole."
            ) from error
        raise OSError(
            f"the weights of {name}{f' ({pretrained})' if pretrained else ''} could not be read: "
            f"{' '.join(str(error).split())[:300]}. On a machine without the network copy the model's folder and set "
            "vision.weights=local-dir:FOLDER, or set vision.pretrained to a file of its weights."
        ) from error
    visual = model.visual
    if not isinstance(visual, VisionTransformer) and not (
        isinstance(visual, TimmModel) and hasattr(visual.trunk, "blocks")
    ):
        raise ValueError(
            f"{name} has a {type(visual).__name__} without transformer blocks, and so no patches. Choose a ViT."
        )
    return visual, dict(visual.preprocess_cfg)


def shape_of(visual: nn.Module) -> Shape:
    """The shape of an open_clip ViT, or of a timm one inside of open_clip (SigLIP, EVA-02)."""
    if isinstance(visual, VisionTransformer):
        rows, columns = (int(n) for n in visual.grid_size)
        height, width = (int(n) for n in visual.image_size)
        parts: dict[str, Any] = {
            "heads": visual.transformer.resblocks[0].attn.num_heads,
            "blocks": repr(visual.transformer),
            "pre": repr(visual.ln_pre),
            "post": repr(visual.ln_post),
        }
        depth, dim = len(visual.transformer.resblocks), int(visual.conv1.out_channels)
        return Shape(depth, dim, (height, width), (rows, columns), 1, parts)
    trunk: Any = visual.trunk
    rows, columns = (int(n) for n in trunk.patch_embed.grid_size)
    height, width = (int(n) for n in trunk.patch_embed.img_size)
    parts = {"blocks": repr(trunk.blocks), "pre": repr(trunk.patch_embed), "post": repr(trunk.norm)}
    return Shape(
        len(trunk.blocks),
        int(trunk.num_features),
        (height, width),
        (rows, columns),
        int(trunk.num_prefix_tokens),
        parts,
    )


def _trained_with(name: str, pretrained: str) -> dict[str, Any]:
    """What weights were trained with and open_clip does not take over by itself, as options of `create_model`.

    OpenAI's need QuickGELU whatever the model's name says, and open_clip warns alone. A file's preprocessing stands nowhere: it
    is that of all tags of the model, where they agree, such as SigLIP's.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained in tags:
        return {
            "force_quick_gelu": bool((open_clip.get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu"))
        }
    refuse_pointers([Path(pretrained)], f"vision.pretrained={pretrained}")
    known = [open_clip.get_pretrained_cfg(name, tag) or {} for tag in tags]
    ways = [{key: one[key] for key in PREPROCESS if key in one} for one in known]
    if not ways:
        return {}
    if any(way != ways[0] for way in ways):
        log.warning("%s: nothing says what its pixels are to be; those of CLIP are taken", pretrained)
        return {}
    if any(one.get("quick_gelu") for one in known) and not (open_clip.get_model_config(name) or {}).get(
        "quick_gelu"
    ):
        log.warning(
            "%s: taken to be trained with GELU; for weights of OpenAI set vision.weights=%s-quickgelu",
            pretrained,
            name,
        )
    return {"force_preprocess_cfg": ways[0]}


def _check_name(name: str, pretrained: str | None) -> None:
    known = open_clip.list_models()
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4))
        raise ValueError(
            f"vision.weights={name!r} is no model of open_clip{f' (near: {near})' if near else ''}. Set it to one of "
            "open_clip.list_models(), to hf-hub:org/model, local-dir:folder, or to a .safetensors file."
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None or not (pretrained in tags or Path(pretrained).is_file()):
        raise ValueError(
            f"vision.pretrained={pretrained!r}: {name} has the weights {', '.join(tags) or 'none by a tag'}"
            + (f", and there is no file {Path(pretrained).absolute()}" if pretrained else "")
            + ". Set it to one of these, or to a file of weights."
        )


def _read_config(path: Path) -> dict[str, Any]:
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is not there. A ViT is a safetensors file with open_clip's configuration beside it; "
                "set vision.weights to such a file, or make the miniature with `make pretrain`."
            )
    refuse_pointers([path, path.with_suffix(".json")], f"vision.weights={path}")
    try:
        config = json.loads(path.with_suffix(".json").read_text())
        size, patch = (config["model_cfg"]["vision_cfg"][k] for k in ("image_size", "patch_size"))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.with_suffix('.json')} is no open_clip configuration ({error!r}): "
            "it must hold model_cfg.vision_cfg with image_size and patch_size. "
            "Copy the model's open_clip_config.json."
        ) from error
    sizes, patches = (v if isinstance(v, list) else [v, v] for v in (size, patch))
    if absent := [key for key in PREPROCESS[:2] if key not in config.get("preprocess_cfg", {})]:
        log.warning(
            "%s has no preprocess_cfg.%s: that of CLIP is taken", path.with_suffix(".json"), absent[0]
        )
    if any(s < 1 or p < 1 or s % p for s, p in zip(sizes, patches, strict=True)):
        raise ValueError(
            f"image_size={size} is no multiple of patch_size={patch} in {path.with_suffix('.json').name}: "
            "the last patches would be cut off. Set image_size to a multiple."
        )
    return config
