"""The CoCa that the miniature ViT is trained in, at its initialization, and the export of its ViT."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bridgelab.pretraining.vit.captions import PAD, WORDS
from bridgelab.pretraining.vit.scene_pool import FACTS


class ZeroBranch(nn.Module):
    """A residual branch that adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a zero that broadcasts."""
        return x.new_zeros(())


def build(model: dict[str, Any], most: int, decoder_mlp: bool = False) -> nn.Module:
    """Return an open_clip CoCa for captions of up to `most` objects, drawn from the global random state.

    Two initializations are set by hand. open_clip leaves the decoder's `text_projection` uninitialized. And the text's
    positions start as (place within the object) + (which object), which is how captions are built.

    Args:
        model: `embed_dim`, `vision_cfg`, `text_cfg` and `multimodal_cfg` of open_clip's CoCa.
        most: objects of a scene.
        decoder_mlp: keep the MLPs of the decoder's cross-attention. Without them nothing nonlinear stands between the
            patches that a word attends to and the word, so the ViT has to make attributes linear in its patches.
    """
    from open_clip.coca_model import CoCa

    texts = _text_config(most)
    coca = CoCa(
        embed_dim=model["embed_dim"],
        vision_cfg=dict(model["vision_cfg"]),
        text_cfg={**model["text_cfg"], **texts},
        multimodal_cfg={**model["multimodal_cfg"], **texts},
        pad_id=PAD,
    )
    nn.init.normal_(coca.text_decoder.text_projection, std=0.03)
    if not decoder_mlp:
        for block in coca.text_decoder.cross_attn:
            block.mlp = ZeroBranch()
    positions = coca.text.positional_embedding
    with torch.no_grad():
        slot, thing = (torch.randn(k, positions.shape[1]) * 0.02 for k in (len(FACTS), most))
        positions[1 : texts["context_length"] - 1] += (thing[:, None] + slot[None, :]).flatten(0, 1)
    return coca


def _text_config(most: int) -> dict[str, int]:
    return {"context_length": 2 + len(FACTS) * most, "vocab_size": len(WORDS)}


def resize_patches(weights: dict[str, Tensor], coca: Any) -> None:
    """Change, in place, weights of another patch size to those of `coca`.

    The kernel of a patch keeps its products with images that are resized as it is (FlexiViT, Beyer et al. 2023,
    arXiv:2212.08013); the positions are interpolated.
    """
    from open_clip.model import resize_pos_embed
    from timm.layers import resample_patch_embed

    resize_pos_embed(weights, coca)
    kernel = weights["visual.conv1.weight"]
    weights["visual.conv1.weight"] = resample_patch_embed(kernel, list(coca.visual.conv1.kernel_size))


def export(model: Any, cfg: dict[str, Any], folder: Path) -> Path:
    """Write the ViT alone, in bf16 and open_clip's layout: vision.safetensors (keys 'visual.…') and vision.json."""
    weights = {
        f"visual.{k}": v.detach().to("cpu", torch.bfloat16).contiguous()
        for k, v in model.visual.state_dict().items()
    }
    texts = _text_config(int(cfg["objects"][1]))
    shape = {k: {**v, **texts} if k in ("text_cfg", "multimodal_cfg") else v for k, v in cfg["model"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "vision.safetensors.tmp"
    save_file(weights, partial)
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    (folder / "vision.json").write_text(
        json.dumps({"model_cfg": shape, "preprocess_cfg": cfg["preprocess"]}, indent=1) + "\n"
    )
    os.replace(partial, folder / "vision.safetensors")
    return folder / "vision.safetensors"
