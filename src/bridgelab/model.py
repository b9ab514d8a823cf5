"""Vision features -> bridge -> frozen language model: loss, likelihood, generated text."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from bridgelab.text.frozen_encoder import ThroughEncoder

IGNORED = -100
INSERTS = ("encoder_input", "encoder_output")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def autocast_pays(device: torch.device) -> bool:
    """Return whether bfloat16 is faster than float32: a CPU without bf16 instructions emulates it at a tenth of the speed."""
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class Language(Protocol):
    """A frozen encoder-decoder that reads vectors as well as words."""

    dim: int
    fingerprint: str
    embedding_rms: float
    model: Any
    placed: bool  # by device_map, and not to be moved
    checkpointing: bool

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]: ...
    def embed(self, ids: Tensor) -> Tensor: ...
    def embed_words(self, scenes: list[str]) -> Tensor: ...
    def decode(self, ids: Tensor) -> list[str]: ...


FROZEN = "model.language."  # prefix of the weights that a checkpoint leaves out


class BridgedModel(nn.Module):
    r"""A frozen T5 whose encoder reads [bridge(patches); prompt].

    $\mathcal L = -\frac1{|y|} \sum_t \log p_{T5}(y_t \mid y_{<t}, [s f_\theta((x - \mu) / \sigma); E(p)])$

    Patches $x$ are standardised per channel with the mean $\mu$ and deviation $\sigma$ of the training images' patches, the
    same for every bridge. The scale $s$ brings a bridge's output at initialization to the RMS of the T5's word embeddings $E$.
    This is one rule for all bridges, so that a learning rate means the same to each. Words are embeddings already: they are
    neither standardised nor scaled. $p$ is the prompt.

    With `insert="encoder_output"` the encoder reads the prompt alone and the decoder attends to
    $[s f_\theta(x); \mathrm{Enc}(E(p))]$ (Grounded Q-Former, arXiv:2311.07449). This is cheaper, and only the bridge stands
    between patches and decoder. The scale $s$ is then relative to the encoder's output. Words are always read by the encoder.

    Args:
        bridge: patches [batch, patch, vision_dim] -> visual tokens [batch, token, text_dim]; its `sees` says what it reads.
        text: the frozen language model.
        mean: of the patches [vision_dim]; None for 0.
        std: of the patches [vision_dim]; None for 1.
        precision: `bf16` runs matrix products under autocast, `fp32` does not.
        insert: where visual tokens enter the T5, one of `INSERTS`.
        positions: (patches, vision_dim) of learned positions, added to the standardised patches; None for none.
    Raises:
        ValueError: if `precision` or `insert` is unknown, or the T5 is in float16.
    """

    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        bridge: nn.Module,
        text: Language,
        *,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        precision: str = "fp32",
        insert: str = "encoder_input",
        positions: tuple[int, int] | None = None,
    ):
        super().__init__()
        if insert not in INSERTS:
            raise ValueError(f"insert={insert!r}: must be one of {', '.join(INSERTS)}. Set model.insert.")
        if precision not in PRECISIONS:
            raise ValueError(
                f"train.precision={precision!r} must be one of auto, {', '.join(PRECISIONS)}: a T5's activations "
                "overflow in float16. Set train.precision=auto."
            )
        if text.model.dtype == torch.float16:
            raise ValueError(
                "the T5 is in float16, where its activations overflow: it must be bfloat16 or float32. "
                "Set text.dtype=bfloat16."
            )
        self.bridge, self.precision = bridge, precision
        self.sees = getattr(bridge, "sees", "image")
        self.conditioning = getattr(bridge, "conditioning", "none")
        self.insert = "encoder_input" if self.sees == "words" else insert
        self._text = (text,)  # a tuple keeps its weights from being registered twice
        frozen = text.model.requires_grad_(False).eval()
        if text.placed:  # not a submodule, so that `.to(device)` leaves its layers on their devices
            object.__setattr__(self, "language", frozen)
        else:
            self.language = frozen
        # Used on a CPU alone: on a GPU, and under torch.compile, transformers' own encoder is as fast.
        supported = (
            text.model.dtype == torch.float32
            and ThroughEncoder.supports(text.model)
            and not text.checkpointing
        )
        self._through = ThroughEncoder(text.model, PRECISIONS[precision]) if supported else None
        standard = self.sees == "image" and mean is not None and std is not None
        self.register_buffer("mean", mean.float() if standard and mean is not None else torch.zeros(1))
        self.register_buffer(
            "std", std.float().clamp_min(1e-6) if standard and std is not None else torch.ones(1)
        )
        self.register_buffer("scale", torch.tensor(1.0 if self.sees == "words" else math.nan))
        self.positions = None
        if positions is not None and self.sees == "image":
            self.positions = nn.Parameter(torch.zeros(positions))
            nn.init.trunc_normal_(self.positions, std=0.02)

    @property
    def text(self) -> Language:
        """The frozen language model with its tokenizer."""
        return self._text[0]

    def train(self, mode: bool = True) -> "BridgedModel":
        """Train the bridge; the language model stays in eval mode, without dropout."""
        super().train(mode)
        self.language.eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """Return all weights and buffers but those of the frozen language model."""
        own = FROZEN.removeprefix("model.")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(own)}

    def load_trained(self, tensors: Mapping[str, Tensor], source: object) -> None:
        """Load what `trained_state` returned: the bridge, the patches' moments, positions and the scale.

        Args:
            tensors: by name. `mean` and `std` have the shapes that the constructor was given.
            source: where they come from, for messages.
        Raises:
            ValueError: if they do not fit.
        """
        try:
            missing, unexpected = self.load_state_dict(tensors, strict=False)
        except RuntimeError as error:  # other shapes
            raise ValueError(
                f"{source} does not fit the bridge of its config ({' '.join(str(error).split())})."
            ) from error
        missing = [name for name in missing if not name.startswith(FROZEN.removeprefix("model."))]
        if missing or unexpected:
            raise ValueError(
                f"{source} does not fit the bridge of its config: lacks {missing}, has {unexpected} besides. The bridge's code "
                "has changed since: train again."
            )

    def init_output_scale(self, batch: dict[str, Tensor]) -> None:
        """Set the scale $s$ from a first batch, so that visual tokens have the RMS of the vectors they stand beside.

        Those are the T5's word embeddings or, with `insert="encoder_output"`, its encoder's output. Later calls do nothing.

        Raises:
            ValueError: if the bridge's output is all zero or not finite.
        """
        if not self.scale.isnan():
            return
        with torch.no_grad(), self._autocast():
            rms = self._raw_prefix(batch).float().square().mean().sqrt()
            target_rms: float = self.text.embedding_rms
            if self.insert == "encoder_output":
                mask = batch["prompt_mask"].bool()
                encoded = self._encoder(self.text.embed(batch["prompt"]), mask)[mask]
                target_rms = encoded.float().square().mean().sqrt().item()
        if not (rms.isfinite() and rms > 0):
            raise ValueError(
                f"the bridge's first output has an RMS of {rms.item():g}: it must be finite and above 0. "
                "Check the bridge's initialisation."
            )
        self.scale.copy_(target_rms / rms)

    def prefix(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch token dim"]:
        """Return the bridge's visual tokens, scaled as the T5 reads them.

        Raises:
            RuntimeError: if `init_output_scale` was not called.
        """
        if self.scale.isnan():
            raise RuntimeError(
                "the bridge's scale is not set: call init_output_scale(batch) with the first batch."
            )
        with self._autocast():
            return self._raw_prefix(batch) * self.scale

    def encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the T5's decoder attends to [batch, token + position, dim], and its mask [batch, token + position]."""
        with self._autocast():
            return self.encode_prefix(self._raw_prefix(batch) * self.scale, batch)

    def encode_prefix(self, prefix: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Do as `encode` with visual tokens that are computed already."""
        with self._autocast():
            if self.insert == "encoder_input":
                return self._encode_before(prefix, batch)
            mask = batch["prompt_mask"]
            prompt = self._encoder(self.text.embed(batch["prompt"]), mask)
            return torch.cat([prefix.to(prompt), prompt], 1), self._with_prefix(mask, prefix)

    def encode_words(self, scenes: list[str], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Do as `encode` with texts instead of visual tokens, before the prompt."""
        with self._autocast():
            return self._encode_before(self.text.embed_words(scenes), batch)

    def log_probs(
        self, encoded: tuple[Tensor, Tensor], labels: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length"]:
        """Return the log-probability of each label given those before it; 0 for ignored labels."""
        hidden, mask = encoded
        with self._autocast():
            logits = self.language(
                encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                attention_mask=mask,
                decoder_input_ids=self._shift(labels),
                use_cache=False,
            ).logits
        loss = F.cross_entropy(
            logits.to(labels.device).float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return -loss

    def loss(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Return the mean negative log-probability of the targets' tokens; their sum over `batch["tokens"]` if that is set."""
        labels = batch["labels"]
        tokens = batch.get("tokens", (labels != IGNORED).sum())
        return -self.log_probs(self.encode(batch), labels).sum() / tokens

    def forward(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Return `loss`: distributed training and torch.compile wrap `forward`."""
        return self.loss(batch)

    @torch.no_grad()
    def likelihood(
        self, batch: dict[str, Tensor], encoded: tuple[Tensor, Tensor] | None = None
    ) -> Float[Tensor, " batch"]:
        """Return the log-probability of each example's whole target, end token included."""
        return self.log_probs(encoded or self.encode(batch), batch["labels"]).sum(1)

    @torch.no_grad()
    def choice_likelihoods(
        self, encoded: tuple[Tensor, Tensor], choices: Int[Tensor, "batch choice length"]
    ) -> Float[Tensor, "batch choice"]:
        """Return the log-probability of each choice, from one pass of the encoder; -inf for a choice of ignored labels alone."""
        log_probs = [self.log_probs(encoded, labels).sum(1) for labels in choices.unbind(1)]
        return torch.stack(log_probs, 1).masked_fill((choices == IGNORED).all(2), -torch.inf)

    @torch.no_grad()
    def generate(
        self,
        batch: dict[str, Tensor],
        *,
        max_new_tokens: int,
        num_beams: int = 1,
        encoded: tuple[Tensor, Tensor] | None = None,
    ) -> Int[Tensor, "batch length"]:
        """Generate answers by transformers' own loop, greedily or by beam search, and return them without the start token."""
        hidden, mask = encoded or self.encode(batch)
        with self._autocast():
            ids = self.language.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=num_beams,
            )
        return ids[:, 1:]

    def _encode_before(self, prefix: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        prompt, mask = self.text.embed(batch["prompt"]), self._with_prefix(batch["prompt_mask"], prefix)
        return self._encoder(torch.cat([prefix.to(prompt), prompt], 1), mask), mask

    @staticmethod
    def _with_prefix(mask: Tensor, prefix: Tensor) -> Tensor:
        return torch.cat([mask.new_ones(len(mask), prefix.shape[1]), mask], 1)

    def _encoder(self, embedded: Tensor, mask: Tensor) -> Tensor:
        on_cpu = embedded.device.type == "cpu"
        if self._through is not None and on_cpu and not torch.compiler.is_compiling():
            return self._through(embedded, mask.bool())
        return self.language.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state

    def _raw_prefix(self, batch: dict[str, Tensor]) -> Tensor:
        patches = batch["patches"]
        if self.sees != "words":
            patches = (patches.float() - self.mean) / self.std
        if self.positions is not None:
            if len(self.positions) != patches.shape[1]:
                raise ValueError(
                    f"{patches.shape[1]} patches, but positions for {len(self.positions)}: each patch needs its own. "
                    "Set model.positions=false."
                )
            patches = patches + self.positions
        if self.conditioning == "none":
            return self.bridge(patches)
        # The question is represented by the output of the frozen T5's encoder, which reads it alone.
        mask = batch["question_mask"]
        with torch.no_grad():
            question = self._encoder(self.text.embed(batch["question"]), mask)
        return self.bridge(patches, question, mask)

    def _shift(self, labels: Tensor) -> Tensor:
        start = torch.full_like(labels[:, :1], self.language.config.decoder_start_token_id)
        shifted = torch.cat([start, labels[:, :-1]], 1)
        return shifted.masked_fill(shifted == IGNORED, self.language.config.pad_token_id)

    def _autocast(self) -> AbstractContextManager:
        # A T5 loaded in bfloat16 runs in it throughout; of one in float32, only the matrix products do.
        return torch.autocast(self.scale.device.type, torch.bfloat16, enabled=self.precision == "bf16")
