"""Vision towers of open_clip, from files or by open_clip's names."""

import difflib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from open_clip import hf_model
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
# Errors of a file, a download or the hub.
CREATION_ERRORS = (OSError, RuntimeError, ValueError, KeyError, SafetensorError)
# Errors of classes that a configuration hands a key that they lack, or a value of another type or size.
CONFIGURATION_ERRORS = (TypeError, AttributeError, AssertionError, ArithmeticError)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TowerShape:
    """What a tower's features depend on beside its weights.

    Args:
        depth: number of blocks.
        dim: channels of a patch.
        image: height and width in pixels.
        grid: rows and columns of patches.
        prefix: tokens before the patches, 0 without a class token.
        modules: descriptions of the tower's modules, for a fingerprint.
    """

    depth: int
    dim: int
    image: tuple[int, int]
    grid: tuple[int, int]
    prefix: int
    modules: dict[str, Any]


@contextmanager
def no_foreign_code() -> Iterator[None]:
    """Let open_clip build no text encoder by code of its repository; transformers would ask at a terminal whether to run it."""
    own: Any = hf_model.AutoConfig, hf_model.AutoModel
    hf_model.AutoConfig, hf_model.AutoModel = (
        SimpleNamespace(
            **{
                name: partial(getattr(auto, name), trust_remote_code=False)
                for name in ("from_pretrained", "from_config")
                if hasattr(auto, name)
            }
        )
        for auto in own
    )
    try:
        yield
    finally:
        hf_model.AutoConfig, hf_model.AutoModel = own


def load_tower(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load a ViT from a safetensors file (keys 'visual.…') with open_clip's configuration beside it.

    The text encoder is built on the meta device, without memory, and dropped.

    Returns:
        The ViT and its preprocessing.
    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if weights and configuration do not match, or hold no ViT.
    """
    config = _read_config(path)
    family = CoCa if "multimodal_cfg" in config["model_cfg"] else CLIP
    try:
        with no_foreign_code(), torch.device("meta"):
            visual = family(**config["model_cfg"]).visual
    except CREATION_ERRORS as error:
        raise _explain(error, str(path)) from error
    except CONFIGURATION_ERRORS as error:
        raise _misconfigured(error, path.with_suffix(".json").name) from error
    if not isinstance(visual, VisionTransformer):
        raise ValueError(
            f"{path.name} holds a {type(visual).__name__}: it must be a VisionTransformer. Choose a ViT."
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


def create_tower(
    name: str, pretrained: str | None, image_size: int | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Create a tower that open_clip knows.

    Args:
        name: a model of open_clip, such as 'ViT-L-14', or `hf-hub:org/model`, or `local-dir:folder`.
        pretrained: for a model of open_clip, the tag of its weights or a file that holds them.
        image_size: side in pixels if not the model's own; learned positions are interpolated.
    Returns:
        The tower and its preprocessing.
    Raises:
        ValueError: if there is no such model or tag, its weights do not fit its configuration, or it has no patches.
        OSError: if its weights can't be read.
    """
    options: dict[str, Any] = {}
    if not name.startswith(SCHEMES):
        _check_name(name, pretrained)
        options = _training_options(name, str(pretrained))
    elif pretrained is not None:
        raise ValueError(
            f"vision.pretrained={pretrained!r}, but {name} names its own weights. Set vision.pretrained=null."
        )
    elif name.startswith("local-dir:"):
        _check_folder(name)
    try:
        with no_foreign_code():
            model = open_clip.create_model(
                name, pretrained=pretrained, force_image_size=image_size, require_pretrained=True, **options
            )
    except CREATION_ERRORS as error:
        raise _explain(error, f"{name}{f' ({pretrained})' if pretrained else ''}") from error
    except CONFIGURATION_ERRORS as error:
        raise _misconfigured(error, name) from error
    visual = model.visual
    if not isinstance(visual, VisionTransformer) and not (
        isinstance(visual, TimmModel) and hasattr(visual.trunk, "blocks")
    ):
        raise ValueError(
            f"{name} has a {type(visual).__name__} without transformer blocks, and so without patches. Choose a ViT."
        )
    return visual, dict(visual.preprocess_cfg)


def tower_shape(visual: nn.Module) -> TowerShape:
    """Return the shape of an open_clip ViT, or of a timm ViT inside open_clip (SigLIP, EVA-02)."""
    if isinstance(visual, VisionTransformer):
        rows, columns = (int(n) for n in visual.grid_size)
        height, width = (int(n) for n in visual.image_size)
        modules: dict[str, Any] = {
            "heads": visual.transformer.resblocks[0].attn.num_heads,
            "blocks": repr(visual.transformer),
            "pre": repr(visual.ln_pre),
            "post": repr(visual.ln_post),
        }
        depth, dim = len(visual.transformer.resblocks), int(visual.conv1.out_channels)
        return TowerShape(depth, dim, (height, width), (rows, columns), 1, modules)
    trunk: Any = visual.trunk
    rows, columns = (int(n) for n in trunk.patch_embed.grid_size)
    height, width = (int(n) for n in trunk.patch_embed.img_size)
    modules = {"blocks": repr(trunk.blocks), "pre": repr(trunk.patch_embed), "post": repr(trunk.norm)}
    return TowerShape(
        len(trunk.blocks),
        int(trunk.num_features),
        (height, width),
        (rows, columns),
        int(trunk.num_prefix_tokens),
        modules,
    )


def _training_options(name: str, pretrained: str) -> dict[str, Any]:
    """Return how weights were trained, as options of `create_model`, where open_clip does not apply it by itself.

    OpenAI's weights need QuickGELU whatever the model's name, and open_clip only warns. A file of weights tells neither its
    activation nor its preprocessing: what all tags of the model agree on is used.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained in tags:
        return {
            "force_quick_gelu": bool((open_clip.get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu"))
        }
    refuse_pointers([Path(pretrained)], f"vision.pretrained={pretrained}")
    known = {tag: open_clip.get_pretrained_cfg(name, tag) or {} for tag in tags}
    return _activation(name, pretrained, known) | _preprocessing(pretrained, known)


def _activation(name: str, file: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the activation of a file's weights, as options of `create_model`, from the configs of its model's tags."""
    quick = [str(tag) for tag, config in known.items() if config.get("quick_gelu")]
    if not quick or (open_clip.get_model_config(name) or {}).get("quick_gelu"):
        return {}
    if len(quick) == len(known):
        log.info("%s: assuming QuickGELU, as all published weights of %s have it", file, name)
        return {"force_quick_gelu": True}
    log.warning(
        "%s: assuming GELU; if it holds weights of %s, set vision.weights=%s-quickgelu",
        file,
        ", ".join(quick),
        name,
    )
    return {}


def _preprocessing(file: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the preprocessing of a file's images, as options of `create_model`, from the configs of its model's tags."""
    preprocessings = [{key: config[key] for key in PREPROCESS if key in config} for config in known.values()]
    if not preprocessings:
        return {}
    if any(preprocessing != preprocessings[0] for preprocessing in preprocessings):
        log.warning("%s: its preprocessing is unknown; using CLIP's", file)
        return {}
    return {"force_preprocess_cfg": preprocessings[0]}


def _explain(error: Exception, name: str) -> Exception:
    """Return an error that names the weights and the remedy."""
    message = " ".join(str(error).split())[:300]
    # open_clip loads strictly, and torch reports a mismatch by this message.
    if "Error(s) in loading state_dict" in str(error):
        return ValueError(
            f"the weights of {name} do not fit its configuration: {message} … Copy the complete files of one model."
        )
    return OSError(
        f"the weights of {name} could not be read: {message}. Without the network, copy the model's folder and set "
        "vision.weights=local-dir:FOLDER, or set vision.pretrained to a file of its weights."
    )


def _misconfigured(error: Exception, name: str) -> ValueError:
    problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ValueError(
        f"the configuration of {name} describes no model of open_clip ({problem}). Copy the model's open_clip_config.json."
    )


def _check_folder(name: str) -> None:
    folder = Path(name.removeprefix("local-dir:"))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"vision.weights={name}: there is no folder {folder.absolute()}. Set "
            "vision.weights=local-dir:FOLDER to an existing one."
        )
    refuse_pointers(sorted(folder.iterdir()), f"vision.weights={name}")


def _check_name(name: str, pretrained: str | None) -> None:
    known = open_clip.list_models()
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4))
        raise ValueError(
            f"vision.weights={name!r} is not a model of open_clip{f' (near: {near})' if near else ''}. Set it to one of "
            "open_clip.list_models(), to hf-hub:org/model, local-dir:folder, or to a .safetensors file."
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None or not (pretrained in tags or Path(pretrained).is_file()):
        raise ValueError(
            f"vision.pretrained={pretrained!r}: {name} has weights under the tags {', '.join(tags) or '(none)'}"
            + (f", and there is no file {Path(pretrained).absolute()}" if pretrained else "")
            + ". Set it to one of these, or to a file of weights."
        )


def _read_config(path: Path) -> dict[str, Any]:
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist. A ViT is a safetensors file with open_clip's configuration beside it; "
                "set vision.weights to such a file, or make the miniature: make pretrain"
            )
    refuse_pointers([path, path.with_suffix(".json")], f"vision.weights={path}")
    try:
        config = json.loads(path.with_suffix(".json").read_text())
        size, patch = (config["model_cfg"]["vision_cfg"][k] for k in ("image_size", "patch_size"))
        sizes, patches = (v if isinstance(v, list) else [v, v] for v in (size, patch))
        if not len(sizes) == len(patches) == 2 or not all(isinstance(n, int) for n in (*sizes, *patches)):
            raise TypeError(f"image_size={size!r} and patch_size={patch!r} are no whole numbers of pixels")
        if not isinstance(config.get("preprocess_cfg", {}), dict):
            raise TypeError("preprocess_cfg is no object")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path.with_suffix('.json')} is not an open_clip configuration ({error!r}): "
            "it must hold model_cfg.vision_cfg with image_size and patch_size. "
            "Copy the model's open_clip_config.json."
        ) from error
    if missing := [key for key in PREPROCESS[:2] if key not in config.get("preprocess_cfg", {})]:
        log.warning("%s has no preprocess_cfg.%s: using CLIP's", path.with_suffix(".json"), missing[0])
    if any(s < 1 or p < 1 or s % p for s, p in zip(sizes, patches, strict=True)):
        raise ValueError(
            f"image_size={size} is not a multiple of patch_size={patch} in {path.with_suffix('.json').name}: "
            "the last patches would be cut off. Set image_size to a multiple."
        )
    return config
