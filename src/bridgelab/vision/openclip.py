"""A frozen open_clip ViT as a function from raw pixels to patch features.

Everything that changes the features is a setting here (layer, CLS, final norm, preprocessing, dtype), never a
bridge's, and enters the fingerprint.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from open_clip.coca_model import CoCa
from open_clip.model import CLIP
from open_clip.transformer import VisionTransformer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

ASSETS = Path(__file__).resolve().parents[1] / "assets"
MINIATURE = "miniature"  # the name by which a yaml means the pair that is shipped
INTERPOLATIONS = ("bicubic", "bilinear")
DTYPES = ("float32", "bfloat16", "float16")


class OpenClipVision(nn.Module):
    """The vision tower of an open_clip CLIP or CoCa, without gradients and in eval mode for good.

    Images are stretched to the model's square (no crop: a question may be about the border), so patch k is
    row k // grid[1], column k % grid[1] of the whole image.

    Args:
        weights: 'miniature' for the weights that come with the package, or the path of a safetensors file in
            open_clip's layout (keys 'visual.…'); its configuration, in the layout of open_clip's
            `open_clip_config.json`, lies beside it under the same name with `.json`.
        layer: block whose output is taken; -1 is the last.
        cls: keep the class token, in front of the patches.
        final_norm: apply the model's last LayerNorm to what the block gives.
        dtype: of weights and arithmetic, one of `DTYPES`.
    Raises:
        FileNotFoundError: if the weights or their configuration are not there.
        ValueError: if they don't fit each other, or a setting is out of its range.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, weights: str = MINIATURE, layer: int = -1, cls: bool = False, final_norm: bool = True,
        dtype: str = "float32",
    ):  # fmt: skip
        super().__init__()
        path = ASSETS / "vision.safetensors" if weights == MINIATURE else Path(weights)
        config = _read_config(path)
        self.visual = _load(path, config).requires_grad_(False).eval()
        depth = len(self.visual.transformer.resblocks)
        if not -depth <= layer < depth:
            raise ValueError(
                f"layer={layer}: {path.name} has {depth} blocks. "
                f"Set vision.layer within {-depth} to {depth - 1}."
            )
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}. Set vision.dtype.")
        self.visual.to(getattr(torch, dtype))
        preprocess = config.get("preprocess_cfg", {})
        self.interpolation = preprocess.get("interpolation", "bicubic")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation={self.interpolation!r} in {path.with_suffix('.json').name}: "
                f"must be one of {', '.join(INTERPOLATIONS)}."
            )
        self.layer, self.cls, self.final_norm = layer % depth, cls, final_norm
        self.dtype = getattr(torch, dtype)
        self.dim = int(self.visual.conv1.out_channels)
        self.image_size = (int(self.visual.image_size[0]), int(self.visual.image_size[1]))
        self.grid = (int(self.visual.grid_size[0]), int(self.visual.grid_size[1]))
        # What open_clip takes where a configuration is silent: the statistics of CLIP's own training images.
        mean = preprocess.get("mean", (0.48145466, 0.4578275, 0.40821073))
        std = preprocess.get("std", (0.26862954, 0.26130258, 0.27577711))
        self.register_buffer(
            "mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights as they are now and every setting that changes the features, in hex."""
        heads = self.visual.transformer.resblocks[0].attn.num_heads
        settings = {
            "kind": type(self).__name__, "layer": self.layer, "cls": self.cls, "final_norm": self.final_norm,
            "dtype": str(self.dtype), "image_size": self.image_size, "grid": self.grid, "heads": heads,
            "blocks": repr(self.visual.transformer), "pre": repr(self.visual.ln_pre),
            "post": repr(self.visual.ln_post),
            "mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist(),
            "resize": f"stretch {self.interpolation} antialias",
        }  # fmt: skip
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, weight in sorted(self.visual.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def train(self, mode: bool = True) -> "OpenClipVision":
        """Stay in eval mode, whatever is asked."""
        return super().train(False)

    def pixels(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 rows columns"]:
        """Raw images as the model reads them: on its device, stretched to its size, normalised."""
        x = images.to(self.mean.device).permute(0, 3, 1, 2).float()
        if tuple(x.shape[2:]) != self.image_size:
            x = F.interpolate(
                x, self.image_size, mode=self.interpolation, antialias=True, align_corners=False
            )
            x = x.clamp(0, 255)  # bicubic overshoots at edges
        return (x / 255 - self.mean) / self.std

    @torch.no_grad()
    def patches(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch patch {self.dim}"]:
        """Features of raw RGB images of any size, row by row from the top left; with `cls`, its token first.

        Raises:
            ValueError: if the images are not uint8 [batch, height, width, 3] with at least one pixel.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
            raise ValueError(
                f"images are {images.dtype} {list(images.shape)}: must be uint8 [batch, height, width, 3], "
                "not empty. Give raw RGB as read from the file, without scaling."
            )
        with torch.autocast(
            self.mean.device.type, enabled=False
        ):  # the features must not depend on the caller's
            found = self.visual.forward_intermediates(
                self.pixels(images).to(self.dtype),
                indices=[self.layer],
                stop_early=True,
                normalize_intermediates=self.final_norm,
                intermediates_only=True,
                output_fmt="NLC",
                output_extra_tokens=self.cls,
            )
        patches = found["image_intermediates"][0]
        return torch.cat([found["image_intermediates_prefix"][0], patches], dim=1) if self.cls else patches


def _read_config(path: Path) -> dict[str, Any]:
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is not there. A ViT is a safetensors file with open_clip's configuration beside it; "
                "set vision.weights to such a file, or make the miniature with `make pretrain`."
            )
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
    if any(s < 1 or p < 1 or s % p for s, p in zip(sizes, patches, strict=True)):
        raise ValueError(
            f"image_size={size} is no multiple of patch_size={patch} in {path.with_suffix('.json').name}: "
            "the last patches would be cut off. Set image_size to a multiple."
        )
    return config


def _load(path: Path, config: dict[str, Any]) -> VisionTransformer:
    """open_clip's own tower with the file's weights; the text side is built on no memory and dropped."""
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
    return visual
