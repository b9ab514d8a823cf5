"""A frozen T5 that reads a prefix of vectors and a prompt, and answers."""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    T5ForConditionalGeneration,
)
from transformers.activations import ACT2FN
from transformers.utils import logging as transformers_logging

from bridgelab.device import local_device
from bridgelab.lfs_pointer import refuse_pointers
from bridgelab.out_of_memory import SMALLER_T5, explain_full_gpu

ASSETS = Path(__file__).resolve().parents[1] / "assets"
# Path in a config -> folder of the assets.
SHIPPED = {"miniature": "text", "miniature_prose": "text_prose", "miniature_dense": "text_dense"}
# transformers would run the code of a repository that is named as an attention, if the package kernels is installed.
ATTENTIONS = ("eager", "sdpa", "flex_attention")
FILLER = "."
PLAIN = ("yes", "no", "what", "is", "the", "a")  # words that any usable tokenizer knows
# transformers adds its own installed version to a model's settings. Fingerprints hold this one whatever is installed: the first
# ones were made with it, and weights are the same model after an update.
FIRST_TRANSFORMERS = "5.23.0"
OFFLOADED = (
    "dispatched on the CPU or the disk"  # in transformers' error on 8 bits and GPUs that are too small
)
MULTIPLE = 8  # lengths are rounded up to this, so that the CPU's kernel cache meets few shapes


class T5(nn.Module):
    """A pretrained T5 without gradients, always in eval mode. Gradients still pass *through* it to a prefix.

    T5, T5 v1.1 and Flan-T5 of any size. transformers reads the files; no code of a repository is run.

    Args:
        path: a folder with `config.json`, `model.safetensors` and a tokenizer, a hub name, or a key of `SHIPPED`
            for one that comes with bridgelab.
        dtype: `float32` or `bfloat16`. T5's activations overflow float16.
        attention: transformers' implementation, one of `ATTENTIONS`; `eager` is the fastest for a tiny T5 on a CPU.
        device_map: spread the layers over devices, as `auto` or {module: device}; needs accelerate. None keeps them together.
        eight_bit: quantize matrices to 8 bits (LLM.int8, arXiv:2208.07339), on this process's GPU unless `device_map` spreads them;
            needs bitsandbytes and a GPU.
        checkpointing: recompute the activations inside a block in the backward pass: less memory for one more forward
            pass. Outputs and gradients are the same.
        dense_act_fn: the activation in its feed-forward layers instead of the one that config.json names. BLIP-2 and
            InstructBLIP run Flan-T5 with `gelu`, which their bridges were trained for.
    Raises:
        ValueError: if `dtype` is float16 or unknown, `attention` is unknown, the folder holds another kind of model, weights that
            do not fit its configuration, no tokenizer or an unusable one, a required package is missing, or the GPUs
            that it is spread over are too small for it.
        FileNotFoundError: if the miniature's weights, or the folder, do not exist.
        OSError: if the hub does not deliver the model.
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
        dense_act_fn: str | None = None,
    ):
        super().__init__()
        if dense_act_fn not in (None, *ACT2FN):
            raise ValueError(
                f"text.dense_act_fn={dense_act_fn} is not an activation of transformers: it must be one, such as gelu. Set "
                "text.dense_act_fn to one, or to null for the model's own."
            )
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"text.dtype={dtype}: T5 overflows in float16. Set text.dtype to float32 or bfloat16."
            )
        if attention not in ATTENTIONS:
            raise ValueError(
                f"text.attention={attention} must be one of {', '.join(ATTENTIONS)}. Set text.attention to one."
            )
        folder = str(ASSETS / SHIPPED[path]) if path in SHIPPED else resolve_path(path)
        if path in SHIPPED and not (Path(folder) / "model.safetensors").exists():
            raise FileNotFoundError(
                f"{folder} holds no weights. Restore them from git, or make them: make pretrain"
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
        config = self._read_tokenizer(path, folder)
        if dense_act_fn is not None:
            config.dense_act_fn = dense_act_fn
        self.model = load_weights(
            path,
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            **({} if dense_act_fn is None else {"config": config}),
            # `auto` would spread eight bits over all GPUs, those of a run's other processes among them.
            **({"device_map": device_map or {"": local_device()}} if placed else {}),
            **({"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}),
        )
        # Accelerate keeps those that find no place on the CPU or a disk.
        if left := sum(p.is_meta for p in self.model.parameters()):
            total = sum(1 for _ in self.model.parameters())
            raise ValueError(_does_not_fit(path, f"{left} of its {total} weights found no place"))
        self.model.requires_grad_(False).eval()
        self.placed, self.checkpointing = placed, checkpointing
        if checkpointing:
            for block in (*self.model.encoder.block, *self.model.decoder.block):
                # transformers checkpoints in training mode alone, which would bring dropout back.
                block.forward = partial(_checkpointed, block.forward)

    def _read_tokenizer(self, path: str, folder: str) -> Any:
        """Read config.json and the tokenizer, check them, and return the configuration."""
        # Without a False here transformers asks at a terminal whether to run a repository's code.
        with _read(path, folder, "config.json"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type != "t5":
            raise ValueError(
                f"text.path={path} holds a model of the kind {config.model_type!r}: it must be a T5 (T5, T5 v1.1, Flan-T5). "
                "Set text.path to one."
            )
        with _read(path, folder, "tokenizer"):
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._check_tokenizer(path, config)
        return config

    def _check_tokenizer(self, path: str, config: Any) -> None:
        tokenizer = self.tokenizer
        for name in ("eos_token", "pad_token"):
            if getattr(tokenizer, f"{name}_id") is None:
                raise ValueError(
                    f"text.path={path}: its tokenizer has no {name}, which ends or pads each text. Name it in "
                    "tokenizer_config.json, or copy the model's tokenizer again."
                )
        ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        start = getattr(config, "decoder_start_token_id", None)  # transformers has no default for it
        if start is None or tokenizer.eos_token_id not in ends:
            raise ValueError(
                f"text.path={path}: config.json has decoder_start_token_id={start} and eos_token_id={config.eos_token_id}, and "
                f"the tokenizer's eos is {tokenizer.eos_token_id}: answers need a start token, and both must have the same end token. Copy "
                "config.json and the tokenizer from one model."
            )
        if (most := max(tokenizer.get_vocab().values())) >= config.vocab_size:
            raise ValueError(
                f"text.path={path}: its tokenizer has ids up to {most}, and the model embeds {config.vocab_size} words. Copy "
                "both from one model."
            )
        unknown = self.unknown(list(PLAIN))
        if 2 * len(unknown) > len(PLAIN):
            raise ValueError(
                f"text.path={path}: its tokenizer does not know the words {', '.join(unknown)}. transformers makes one up if it "
                "finds no file. Copy the model's tokenizer.json or spiece.model there."
            )

    def train(self, mode: bool = True) -> "T5":
        """Stay in eval mode: a stray `.train()` would bring dropout back."""
        return super().train(False)

    @property
    def dim(self) -> int:
        """Channels of one position."""
        return self.model.config.d_model

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, the configuration and every setting that changes the output."""
        digest = hashlib.sha256()
        config = self.model.config.to_diff_dict() | {"transformers_version": FIRST_TRANSFORMERS}
        settings = {
            "dtype": str(self.model.dtype),
            "config": {k: v for k, v in sorted(config.items()) if not k.startswith("_")},
            "vocabulary": sorted(self.tokenizer.get_vocab().items()),
        }
        digest.update(json.dumps(settings, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def embedding_rms(self) -> float:
        """Root mean square of a component of the word embeddings: the scale at which T5 expects its input."""
        return self.model.shared.weight.float().square().mean().sqrt().item()

    def tokenize(
        self, texts: list[str], *, end: bool = True
    ) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
        """Return token ids, padded on the right to a common multiple of 8, and their mask.

        Args:
            texts: one string per example.
            end: append `</s>` to each, as T5 expects of prompts and targets.
        """
        rows = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        suffix = [self.tokenizer.eos_token_id] * end
        lengths = np.array([len(row) + end for row in rows])
        length = -(-int(lengths.max()) // MULTIPLE) * MULTIPLE
        mask = np.arange(length) < lengths[:, None]
        ids = np.full((len(rows), length), self.tokenizer.pad_token_id)
        ids[mask] = np.fromiter((k for row in rows for k in (*row, *suffix)), np.int64, int(lengths.sum()))
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def unknown(self, words: list[str]) -> list[str]:
        """Return the words of which a piece is not in the vocabulary."""
        ids = self.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        return [word for word, row in zip(words, ids, strict=True) if self.tokenizer.unk_token_id in row]

    def embed(self, ids: Int[Tensor, "*batch length"]) -> Float[Tensor, "*batch length dim"]:
        """Return the T5's own word embeddings of token ids."""
        return self.model.shared(ids)

    def embed_words(self, scenes: list[str]) -> Float[Tensor, "batch position dim"]:
        """Embed scenes in words as a prefix, padded with the filler word: the output of a perfect bridge."""
        ids, mask = self.tokenize(scenes, end=False)
        filler = self.tokenizer(FILLER, add_special_tokens=False)["input_ids"][-1]
        return self.embed(ids.masked_fill(~mask, filler).to(self.model.device))

    def decode(self, ids: Int[Tensor, "batch length"]) -> list[str]:
        """Return the texts of token ids, without special tokens."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def resolve_path(path: str) -> str:
    """Check that `text.path` is a folder, or may be the name of a model on the hub, and return it.

    Raises:
        FileNotFoundError: if it can only be a folder, and there is none.
        ValueError: if a file in the folder is a Git LFS pointer.
    """
    folder = Path(path)
    if folder.is_dir():
        refuse_pointers(sorted(folder.iterdir()), f"text.path={path}")
        return path
    try:
        validate_repo_id(path)
        is_name = not (len(folder.parts) > 1 and Path(folder.parts[0]).is_dir())
    except HFValidationError:
        is_name = False
    if not is_name:
        raise FileNotFoundError(
            f"text.path={path}: there is no folder {folder.absolute()}. Set text.path to an existing one, or to a name on the "
            "hub such as google/flan-t5-base."
        )
    return path


@contextmanager
def _read(path: str, folder: str, what: str) -> Iterator[None]:
    """Turn any error of transformers into one that names the model and the remedy."""
    try:
        yield
    except MemoryError:
        raise  # says itself what to do
    except Exception as error:  # their parsers raise errors of many types
        if OFFLOADED in str(error):
            raise ValueError(_does_not_fit(path, type(error).__name__)) from error
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if Path(folder).is_dir():
            raise ValueError(
                f"text.path={path}: its {what} can't be read ({message}). Copy the model's whole folder again."
            ) from error
        raise OSError(
            f"text.path={path}: there is no folder {Path(folder).absolute()}, and the hub has no {what} of a model of "
            f"that name ({message}). Set text.path to an existing folder; without the network, copy the model's folder there."
        ) from error


def _does_not_fit(path: str, found: str) -> str:
    """Return the message on a T5 that is larger than the memory of the GPUs; `found` says how it showed."""
    return (
        f"text.path={path} does not fit into the GPUs' memory ({found}): a frozen T5 has all of its weights there. Use more GPUs with "
        "text.device_map=auto, or text.eight_bit=true, or choose a smaller T5, such as text=flan_t5_xl."
    )


@contextmanager
def _no_bar() -> Iterator[None]:
    """Hide the bar that transformers draws of its own while it loads weights."""
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()


def load_weights(path: str, folder: str, **options: Any) -> T5ForConditionalGeneration:
    """Load a T5 all of whose weights are stored. transformers alone would draw missing weights at random.

    Args:
        path: as in the config, for messages.
        folder: folder of the model, or its name on the hub.
        options: of transformers' `from_pretrained`.
    Raises:
        ValueError: if the weights do not fit config.json.
        MemoryError: if a GPU's memory runs out.
    """
    with _read(path, folder, "weights"), _no_bar(), explain_full_gpu(": the T5 does not fit", SMALLER_T5):
        model, info = T5ForConditionalGeneration.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
        stated, _ = PreTrainedConfig.get_config_dict(folder)
    missing = sorted(info["missing_keys"])
    if stated.get("tie_word_embeddings") is False and model.lm_head.weight is model.shared.weight:
        missing.append("lm_head.weight or shared.weight, which tie_word_embeddings=false keeps apart")
    wrong = {
        "are not stored": missing,
        "are stored in another shape": sorted(str(key) for key, *_ in info["mismatched_keys"]),
        "are stored beyond it": sorted(
            key
            for key in info["unexpected_keys"]
            if key.startswith(("shared.", "encoder.", "decoder.", "lm_head."))
        ),
    }
    if problems := [
        f"{len(keys)} {how} ({', '.join(keys[:2])}{', …' * (len(keys) > 2)})"
        for how, keys in wrong.items()
        if keys
    ]:
        raise ValueError(
            f"text.path={path}: of the weights that belong to its config.json {'; '.join(problems)}. Copy config.json and all "
            "weights from one model."
        )
    return model


def _checkpointed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # With a cache of keys and values, a second forward pass would write to it twice.
    if torch.is_grad_enabled() and kwargs.get("past_key_values") is None:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return forward(*args, **kwargs)


def _require(package: str, option: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{option} needs the package {package}, which is not installed. Run: pip install {package}"
        )
