"""A frozen open_clip ViT as a function from raw pixels to patch features.

Everything that changes the features is set here (layer, class token, final norm, preprocessing, dtype), not in a
bridge, and enters the fingerprint.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.vision.tower import create_tower, load_tower, tower_shape

ASSETS = Path(__file__).resolve().parents[1] / "assets"
MINIATURE = "miniature"  # the weights that come with the package
INTERPOLATIONS = ("bicubic", "bilinear")
DTYPES = ("float32", "bfloat16", "float16")


class OpenClipVision(nn.Module):
    """The vision tower of an open_clip model (CLIP, CoCa, SigLIP, EVA-02), without gradients and always in eval mode.

    Images are stretched to the model's square, not cropped, since a question may be about the border. Patch k is row
    k // grid[1], column k % grid[1] of the image.

    Args:
        weights: one of

            - 'miniature', the weights that come with the package;
            - the path of a safetensors file in open_clip's layout (keys 'visual.…'), beside which lies an
              `open_clip_config.json` under the same name with `.json`;
            - a model of open_clip, such as 'ViT-L-14';
            - `hf-hub:org/model`, or `local-dir:folder`.
        pretrained: for a model of open_clip, the tag of its weights, or a file that holds them.
        image_size: side in pixels if not the model's own; learned positions are interpolated. Only for named models.
        layer: block whose output is returned; -1 is the last.
        cls: keep the class token, before the patches.
        final_norm: apply the model's last LayerNorm to the block's output.
        dtype: of weights and arithmetic, one of `DTYPES`.
    Raises:
        FileNotFoundError: if the weights or their configuration do not exist.
        ValueError: if they do not fit each other, or a setting is out of its range.
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
                    f"pretrained={pretrained!r}, image_size={image_size}: the configuration of {path.name} sets both. "
                    "Set vision.pretrained and vision.image_size to null."
                )
            visual, preprocess = load_tower(path)
            name = path.name
        else:
            visual, preprocess = create_tower(weights, pretrained, image_size)
            name = weights
        self.visual = visual.requires_grad_(False).eval()
        self.shape = tower_shape(self.visual)
        depth = self.shape.depth
        if not -depth <= layer < depth:
            raise ValueError(
                f"layer={layer}: {name} has {depth} blocks. Set vision.layer within {-depth} to {depth - 1}."
            )
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}. Set vision.dtype.")
        if final_norm and getattr(self.visual, "attn_pool", None) is not None:
            raise ValueError(
                f"final_norm={final_norm}: the last norm of {name} comes after its attention pool and does not apply to patches. "
                "Set vision.final_norm=false."
            )
        # timm puts the norm of a ViT that averages its patches behind the average, and an Identity in its place.
        if final_norm and isinstance(getattr(getattr(self.visual, "trunk", None), "norm", None), nn.Identity):
            raise ValueError(
                f"final_norm={final_norm}: {name} has no norm before its pool, so none that applies to patches. "
                "Set vision.final_norm=false."
            )
        if cls and not self.shape.prefix:
            raise ValueError(f"cls={cls}: {name} has no class token. Set vision.cls=false.")
        self.visual.to(getattr(torch, dtype))
        self.interpolation = preprocess.get("interpolation", "bicubic")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation={self.interpolation!r} of {name}: must be one of {', '.join(INTERPOLATIONS)}. Choose another "
                "vision.weights."
            )
        self.layer, self.cls, self.final_norm = layer % depth, cls, final_norm
        self.dtype = getattr(torch, dtype)
        self.dim, self.image_size, self.grid = self.shape.dim, self.shape.image, self.shape.grid
        # open_clip's default: the statistics of CLIP's training images.
        mean = preprocess.get("mean", (0.48145466, 0.4578275, 0.40821073))
        std = preprocess.get("std", (0.26862954, 0.26130258, 0.27577711))
        self.register_buffer(
            "mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    @property
    def fingerprint(self) -> str:
        """sha256 in hex, over the current weights and every setting that changes the features."""
        settings = {
            "kind": type(self).__name__, "layer": self.layer, "cls": self.cls, "final_norm": self.final_norm,
            "dtype": str(self.dtype), "image_size": self.image_size, "grid": self.grid, **self.shape.modules,
            "mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist(),
            "resize": f"stretch {self.interpolation} antialias",
        }  # fmt: skip
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, weight in sorted(self.visual.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def train(self, mode: bool = True) -> "OpenClipVision":
        """Stay in eval mode, whatever `mode` is."""
        return super().train(False)

    def pixels(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 rows columns"]:
        """Move raw RGB images of any size to the model's device, stretch them to its size, and normalize them.

        Raises:
            ValueError: if the images are not uint8 [batch, height, width, 3] with at least one pixel.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
            raise ValueError(
                f"images are {images.dtype} {list(images.shape)}: must be uint8 [batch, height, width, 3], "
                "not empty. Pass raw RGB as read from the file, without scaling."
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
        """Return the features of raw RGB images, in the encoder's `dtype`.

        Raises:
            ValueError: if the images are not uint8 [batch, height, width, 3] with at least one pixel.
        """
        return self(self.pixels(images))

    @torch.no_grad()
    def forward(
        self, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> Float[Tensor, "batch patch {self.dim}"]:
        """Return features of the output of `pixels`: patches row by row from the top left, after the class token with `cls`."""
        # The features must not depend on the caller's autocast.
        with torch.autocast(self.mean.device.type, enabled=False):
            visual: Any = self.visual
            output = visual.forward_intermediates(
                pixels.to(self.dtype),
                indices=[self.layer],
                stop_early=True,
                normalize_intermediates=self.final_norm,
                intermediates_only=True,
                output_fmt="NLC",
                output_extra_tokens=self.cls,
            )
        patches = output["image_intermediates"][0]
        return torch.cat([output["image_intermediates_prefix"][0], patches], dim=1) if self.cls else patches
