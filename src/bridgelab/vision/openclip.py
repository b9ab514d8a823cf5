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
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.vision.tower import by_name, from_file, shape_of

ASSETS = Path(__file__).resolve().parents[1] / "assets"
MINIATURE = "miniature"  # the name by which a yaml means the pair that is shipped
INTERPOLATIONS = ("bicubic", "bilinear")
DTYPES = ("float32", "bfloat16", "float16")


class OpenClipVision(nn.Module):
    """The vision tower of an open_clip model (CLIP, CoCa, SigLIP, EVA-02), without gradients and in eval mode for good.

    Images are stretched to the model's square (no crop: a question may be about the border), so patch k is
    row k // grid[1], column k % grid[1] of the whole image.

    Args:
        weights: 'miniature' for the weights that come with the package; or the path of a safetensors file in
            open_clip's layout (keys 'visual.…'), whose configuration, in the layout of open_clip's
            `open_clip_config.json`, lies beside it under the same name with `.json`; or a model of open_clip, such as
            'ViT-L-14', or `hf-hub:org/model`, or `local-dir:folder`.
        pretrained: for a model of open_clip, the tag of its weights, or a file that holds them.
        image_size: side in pixels if not the model's own; learned positions are interpolated. For named models alone.
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
        self, *, weights: str = MINIATURE, pretrained: str | None = None, image_size: int | None = None,
        layer: int = -1, cls: bool = False, final_norm: bool = True, dtype: str = "float32",
    ):  # fmt: skip
        super().__init__()
        if weights == MINIATURE or weights.endswith(".safetensors"):
            path = ASSETS / "vision.safetensors" if weights == MINIATURE else Path(weights)
            if pretrained is not None or image_size is not None:
                raise ValueError(
                    f"pretrained={pretrained!r}, image_size={image_size}: {path.name} and its configuration say both. "
                    "Set vision.pretrained and vision.image_size to null."
                )
            visual, preprocess = from_file(path)
            name = path.name
        else:
            visual, preprocess = by_name(weights, pretrained, image_size)
            name = weights
        self.visual = visual.requires_grad_(False).eval()
        self.shape = shape_of(self.visual)
        depth = self.shape.depth
        if not -depth <= layer < depth:
            raise ValueError(
                f"layer={layer}: {name} has {depth} blocks. Set vision.layer within {-depth} to {depth - 1}."
            )
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}. Set vision.dtype.")
        if final_norm and getattr(self.visual, "attn_pool", None) is not None:
            raise ValueError(
                f"final_norm={final_norm}: the last norm of {name} stands behind its attention pool, not on patches. "
                "Set vision.final_norm=false."
            )
        if cls and not self.shape.prefix:
            raise ValueError(f"cls={cls}: {name} has no class token. Set vision.cls=false.")
        self.visual.to(getattr(torch, dtype))
        self.interpolation = preprocess.get("interpolation", "bicubic")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation={self.interpolation!r} of {name}: must be one of {', '.join(INTERPOLATIONS)}."
            )
        self.layer, self.cls, self.final_norm = layer % depth, cls, final_norm
        self.dtype = getattr(torch, dtype)
        self.dim, self.image_size, self.grid = self.shape.dim, self.shape.image, self.shape.grid
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
        settings = {
            "kind": type(self).__name__, "layer": self.layer, "cls": self.cls, "final_norm": self.final_norm,
            "dtype": str(self.dtype), "image_size": self.image_size, "grid": self.grid, **self.shape.parts,
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
        """Raw RGB images of any size as the model reads them: on its device, stretched to its size, normalised.

        Raises:
            ValueError: if the images are not uint8 [batch, height, width, 3] with at least one pixel.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
            raise ValueError(
                f"images are {images.dtype} {list(images.shape)}: must be uint8 [batch, height, width, 3], "
                "not empty. Give raw RGB as read from the file, without scaling."
            )
        x = images.to(self.mean.device).permute(0, 3, 1, 2).float()
        if tuple(x.shape[2:]) != self.image_size:
            x = F.interpolate(
                x, self.image_size, mode=self.interpolation, antialias=True, align_corners=False
            )
            x = x.clamp(0, 255)  # bicubic overshoots at edges
        return (x / 255 - self.mean) / self.std

    def patches(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch patch {self.dim}"]:
        """Features of raw RGB images, as `forward` gives them of their `pixels`."""
        return self(self.pixels(images))

    @torch.no_grad()
    def forward(
        self, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> Float[Tensor, "batch patch {self.dim}"]:
        """Features of images as `pixels` gives them, row by row from the top left; with `cls`, its token first."""
        with torch.autocast(
            self.mean.device.type, enabled=False
        ):  # the features must not depend on the caller's
            visual: Any = self.visual
            found = visual.forward_intermediates(
                pixels.to(self.dtype),
                indices=[self.layer],
                stop_early=True,
                normalize_intermediates=self.final_norm,
                intermediates_only=True,
                output_fmt="NLC",
                output_extra_tokens=self.cls,
            )
        patches = found["image_intermediates"][0]
        return torch.cat([found["image_intermediates_prefix"][0], patches], dim=1) if self.cls else patches
