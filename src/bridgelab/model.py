"""Vision features -> bridge -> frozen language model: loss, likelihood, generated text."""

import math
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from bridgelab.text.through import ThroughEncoder

IGNORED = -100
INSERTS = ("encoder_input", "encoder_output")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def autocast_pays(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: a CPU without bf16 instructions emulates it, at a tenth the speed."""
    if device.type != "cpu":
        return True
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


class Language(Protocol):
    """The text side: a frozen encoder-decoder that can be given vectors in place of words."""

    dim: int
    fingerprint: str
    embedding_rms: float
    model: Any
    placed: bool  # on devices of its own choosing, and not to be moved
    checkpointing: bool

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]: ...
    def embed(self, ids: Tensor) -> Tensor: ...
    def embed_words(self, scenes: list[str]) -> Tensor: ...
    def decode(self, ids: Tensor) -> list[str]: ...


FROZEN = "model.language."  # begins the names of the weights that a checkpoint leaves out


class BridgedModel(nn.Module):
    r"""A frozen T5 whose encoder reads [bridge(patches); prompt].

    $\mathcal L = -\frac1{|y|} \sum_t \log p_{T5}(y_t \mid y_{<t}, [s f_\theta((x - \mu) / \sigma); E(p)])$

    Patches $x$ are standardised channel by channel with the training images' mean $\mu$ and deviation
    $\sigma$: part of the vision side, the same for every bridge. $s$ brings a bridge's output, as it is at
    init, to the size of the T5's word embeddings $E$: one rule for all bridges, so that a learning rate means
    as much to each. Words are embeddings already: they are neither standardised nor scaled. $p$ is the prompt.

    With `insert="encoder_output"` the encoder reads the prompt alone and the decoder attends to
    $[s f_\theta(x); \mathrm{Enc}(E(p))]$ (Grounded Q-Former, arXiv:2311.07449): cheaper, and nothing between patches and
    decoder but the bridge. $s$ then brings it to the size of the encoder's output. Words are always read by the encoder.

    Args:
        bridge: patches [batch, patch, vision_dim] -> [batch, token, text_dim]; `sees` says what of.
        text: the frozen text side.
        mean: the patches' mean [vision_dim], None for 0.
        std: their deviation [vision_dim], None for 1.
        precision: `bf16` runs matrix products under autocast, `fp32` does not.
        insert: where the tokens enter the T5, one of `INSERTS`.
        positions: (patches, vision_dim) of learned positions, added to the standardised features; None for none.
    Raises:
        ValueError: if precision or insert is unknown, or the T5 is in float16, or T5 and precision don't fit.
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
        self._text = (text,)  # in a tuple, so that its weights are not registered twice
        frozen = text.model.requires_grad_(False).eval()
        if text.placed:  # no submodule, so that `.to(device)` leaves it where its layers lie
            object.__setattr__(self, "language", frozen)
        else:
            self.language = frozen
        # On a GPU transformers' own encoder is as good; and it is what torch.compile compiles, anywhere.
        known = (
            text.model.dtype == torch.float32
            and ThroughEncoder.supports(text.model)
            and not text.checkpointing
        )
        self._through = ThroughEncoder(text.model, PRECISIONS[precision]) if known else None
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
        """The text side."""
        return self._text[0]

    def train(self, mode: bool = True) -> "BridgedModel":
        """Train the bridge; the language model stays in eval mode, without dropout."""
        super().train(mode)
        self.language.eval()
        return self

    def init_output_scale(self, batch: dict[str, Tensor]) -> None:
        """Set the scale from a first batch, once: the bridge's output gets the RMS of what it stands beside.

        That is the T5's word embeddings or, inserted at the encoder's output, what the encoder makes of the prompts.

        Raises:
            ValueError: if the bridge's output is all zero or not finite.
        """
        if not self.scale.isnan():
            return
        with torch.no_grad(), self._autocast():
            raw = self._raw_prefix(batch).float().square().mean().sqrt()
            wanted: float = self.text.embedding_rms
            if self.insert == "encoder_output":
                mask = batch["prompt_mask"].bool()
                read = self._encoder(self.text.embed(batch["prompt"]), mask)[mask]
                wanted = read.float().square().mean().sqrt().item()
        if not (raw.isfinite() and raw > 0):
            raise ValueError(
                f"the bridge's first output has an RMS of {raw.item():g}: it must be finite and above 0. "
                "Check the bridge's initialisation."
            )
        self.scale.copy_(wanted / raw)

    def prefix(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch token dim"]:
        """The bridge's tokens at the scale that the T5 expects, standing before the prompt.

        Raises:
            RuntimeError: before `init_output_scale`.
        """
        if self.scale.isnan():
            raise RuntimeError(
                "the bridge's scale is not set: call init_output_scale(batch) with the first batch."
            )
        with self._autocast():
            return self._raw_prefix(batch) * self.scale

    def encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the T5's decoder attends to [batch, token + position, dim] and its mask [batch, token + position]."""
        with self._autocast():
            return self.encode_prefix(self._raw_prefix(batch) * self.scale, batch)

    def encode_prefix(self, prefix: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """As `encode`, for a prefix that is there already."""
        with self._autocast():
            if self.insert == "encoder_input":
                return self._encode_before(prefix, batch)
            mask = batch["prompt_mask"]
            read = self._encoder(self.text.embed(batch["prompt"]), mask)
            return torch.cat([prefix.to(read), read], 1), self._with_prefix(mask, prefix)

    def encode_words(self, scenes: list[str], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """As `encode`, where texts stand in the bridge's place: the T5's encoder reads them before the prompt."""
        with self._autocast():
            return self._encode_before(self.text.embed_words(scenes), batch)

    def log_probs(
        self, encoded: tuple[Tensor, Tensor], labels: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length"]:
        """The log-probability of each label given those before it; 0 where the label is ignored."""
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
        """The mean negative log-probability of a target's token; the sum over `tokens` where the batch says so."""
        labels = batch["labels"]
        tokens = batch.get("tokens", (labels != IGNORED).sum())
        return -self.log_probs(self.encode(batch), labels).sum() / tokens

    def forward(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """`loss`, under the name that distributed training wraps."""
        return self.loss(batch)

    @torch.no_grad()
    def likelihood(
        self, batch: dict[str, Tensor], encoded: tuple[Tensor, Tensor] | None = None
    ) -> Float[Tensor, " batch"]:
        """The log-probability of each example's whole target, end token included."""
        return self.log_probs(encoded or self.encode(batch), batch["labels"]).sum(1)

    @torch.no_grad()
    def choice_likelihoods(
        self, encoded: tuple[Tensor, Tensor], choices: Int[Tensor, "batch choice length"]
    ) -> Float[Tensor, "batch choice"]:
        """The log-probability of each of several targets, from one pass of the encoder; -inf for one that is all ignored."""
        found = [self.log_probs(encoded, labels).sum(1) for labels in choices.unbind(1)]
        return torch.stack(found, 1).masked_fill((choices == IGNORED).all(2), -torch.inf)

    @torch.no_grad()
    def generate(
        self,
        batch: dict[str, Tensor],
        *,
        max_new_tokens: int,
        num_beams: int = 1,
        encoded: tuple[Tensor, Tensor] | None = None,
    ) -> Int[Tensor, "batch length"]:
        """Continuations without the start token, greedy or the best of some beams; transformers' own loop."""
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
        # The frozen T5's own representation of the question: what its encoder makes of it, alone.
        mask = batch["question_mask"]
        with torch.no_grad():
            question = self._encoder(self.text.embed(batch["question"]), mask)
        return self.bridge(patches, question, mask)

    def _shift(self, labels: Tensor) -> Tensor:
        start = torch.full_like(labels[:, :1], self.language.config.decoder_start_token_id)
        shifted = torch.cat([start, labels[:, :-1]], 1)
        return shifted.masked_fill(shifted == IGNORED, self.language.config.pad_token_id)

    def _autocast(self) -> AbstractContextManager:
        # A T5 loaded in bfloat16 runs in it throughout; one in float32 only in its matrix products.
        return torch.autocast(self.scale.device.type, torch.bfloat16, enabled=self.precision == "bf16")
