"""A frozen T5 that reads a prefix of vectors and a prompt, and answers."""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoTokenizer, BitsAndBytesConfig, T5ForConditionalGeneration

ASSETS = Path(__file__).resolve().parents[1] / "assets"
FILLER = "."
MULTIPLE = 8  # lengths are rounded up to this, so that few shapes meet the CPU's kernel cache


class T5(nn.Module):
    """A pretrained T5 without gradients, in eval mode for good; gradients still pass *through* it to a prefix.

    T5, T5 v1.1 and Flan-T5 of any size. The reading is transformers' own; nothing of a repository is run.

    Args:
        path: a folder with `config.json`, `model.safetensors` and a tokenizer, a hub name, or `miniature`
            for the one that comes with bridgelab.
        dtype: `float32` or `bfloat16`. T5's activations overflow float16.
        attention: transformers' implementation; `eager` is the fastest for a tiny T5 on a CPU.
        device_map: spread the layers over devices, as `auto` or {module: device} (needs accelerate); None keeps them together.
        eight_bit: matrices in 8 bits (LLM.int8, arXiv:2208.07339; needs bitsandbytes and a GPU).
        checkpointing: keep no activations inside of a block for the backward pass, and compute them again there: less memory
            for one more forward pass. Outputs and gradients are the same.
    Raises:
        ValueError: if `dtype` is float16 or unknown, the folder holds another kind of model, or a package that is asked for
            is missing.
        FileNotFoundError: if the miniature's weights are not there.
    """

    def __init__(
        self,
        path: str = "miniature",
        *,
        dtype: str = "float32",
        attention: str = "eager",
        device_map: str | Mapping[str, Any] | None = None,
        eight_bit: bool = False,
        checkpointing: bool = False,
    ):
        super().__init__()
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"text.dtype={dtype}: T5 overflows in float16. Set text.dtype to float32 or bfloat16."
            )
        folder = str(ASSETS / "text") if path == "miniature" else path
        if path == "miniature" and not (ASSETS / "text" / "model.safetensors").exists():
            raise FileNotFoundError(
                f"{folder} holds no weights. Make them by `make pretrain`, or restore them from git."
            )
        placed = device_map is not None or eight_bit
        if placed:
            _require("accelerate", "text.device_map" if device_map is not None else "text.eight_bit")
        if eight_bit:
            _require("bitsandbytes", "text.eight_bit")
            if not torch.cuda.is_available():
                raise ValueError(
                    "text.eight_bit=true needs a GPU, and there is none. Set text.eight_bit=false."
                )
        kind = AutoConfig.from_pretrained(folder).model_type
        if kind != "t5":
            raise ValueError(
                f"text.path={path} holds a model of the kind {kind!r}: it must be a T5 (T5, T5 v1.1, Flan-T5). "
                "Set text.path to one."
            )
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = T5ForConditionalGeneration.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            **({"device_map": device_map or "auto"} if placed else {}),
            **({"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}),
        )
        self.model.requires_grad_(False).eval()
        self.placed, self.checkpointing = placed, checkpointing
        if checkpointing:
            for block in (*self.model.encoder.block, *self.model.decoder.block):
                # transformers checkpoints in training mode alone, which would bring dropout back.
                block.forward = partial(_recomputed, block.forward)

    def train(self, mode: bool = True) -> "T5":
        """Stay in eval mode: a stray `.train()` would bring dropout back."""
        return super().train(False)

    @property
    def dim(self) -> int:
        """Channels of one position."""
        return self.model.config.d_model

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, the configuration and every setting that changes what comes out."""
        digest = hashlib.sha256()
        settings = {
            "dtype": str(self.model.dtype),
            "config": {
                k: v for k, v in sorted(self.model.config.to_diff_dict().items()) if not k.startswith("_")
            },
            "vocabulary": sorted(self.tokenizer.get_vocab().items()),
        }
        digest.update(json.dumps(settings, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def embedding_rms(self) -> float:
        """Root mean square of one component of a word's embedding: the scale at which T5 expects its input."""
        return self.model.shared.weight.float().square().mean().sqrt().item()

    def tokenize(
        self, texts: list[str], *, end: bool = True
    ) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
        """Token ids, padded on the right to a common multiple of 8, and which of them are real.

        Args:
            texts: one string an example.
            end: close each with `</s>`, as T5 expects of prompts and targets.
        """
        made = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        closing = [self.tokenizer.eos_token_id] * end
        lengths = np.array([len(row) + end for row in made])
        length = -(-int(lengths.max()) // MULTIPLE) * MULTIPLE
        mask = np.arange(length) < lengths[:, None]
        ids = np.full((len(made), length), self.tokenizer.pad_token_id)
        ids[mask] = np.fromiter((k for row in made for k in (*row, *closing)), np.int64, int(lengths.sum()))
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def unknown(self, words: list[str]) -> list[str]:
        """Those words of which a part is not in the vocabulary."""
        ids = self.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        return [word for word, row in zip(words, ids, strict=True) if self.tokenizer.unk_token_id in row]

    def embed(self, ids: Int[Tensor, "*batch length"]) -> Float[Tensor, "*batch length dim"]:
        """The T5's own word embeddings."""
        return self.model.shared(ids)

    def embed_words(self, scenes: list[str]) -> Float[Tensor, "batch position dim"]:
        """Scenes in words as a prefix, filled up with the filler word: what a perfect bridge would hand over.

        Args:
            scenes: texts.
        """
        ids, real = self.tokenize(scenes, end=False)
        filler = self.tokenizer(FILLER, add_special_tokens=False)["input_ids"][-1]
        return self.embed(ids.masked_fill(~real, filler).to(self.model.device))

    def decode(self, ids: Int[Tensor, "batch length"]) -> list[str]:
        """Texts without special tokens."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # A second forward would write to a cache of keys and values a second time.
    if torch.is_grad_enabled() and kwargs.get("past_key_values") is None:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return forward(*args, **kwargs)


def _require(package: str, option: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{option} needs the package {package}, which is not installed. Run: pip install {package}"
        )
