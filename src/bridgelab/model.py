"""Vision features -> bridge -> frozen language model: loss, likelihood, generated text."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers, before_layers
from bridgelab.text.adapter import LORA, Adapter
from bridgelab.text.t5_encoder import FrozenT5Encoder

IGNORED = -100
INSERTS = ("encoder_input", "encoder_output", "cross_attention")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether bfloat16 is faster than float32.

    A CPU without bf16 instructions emulates it at a tenth of the speed, and GPUs before Ampere (V100, T4) emulate it as well.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


FROZEN = "model.language."  # prefix of the language model's weights in a checkpoint
NO_ADAPTER = Adapter()


def is_frozen(name: str) -> bool:
    """Return whether a weight of this name is the frozen language model's own, which a checkpoint leaves out."""
    return name.startswith(FROZEN) and LORA not in name


def _rms(parts: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return the root mean square of the components of all parts together."""
    numel = sum(part.numel() for part in parts)
    return torch.stack([part.float().square().mean() * (part.numel() / numel) for part in parts]).sum().sqrt()


class Encoded(NamedTuple):
    """What the T5's decoder reads.

    Args:
        hidden: vectors that it attends to [batch, position, dim].
        mask: true where a vector may be attended to [batch, position].
        visual: tokens that gated cross-attention reads in the decoder [batch, token, dim]; None for none.
    """

    hidden: Tensor
    mask: Tensor
    visual: Tensor | None = None


class LanguageModel(Protocol):
    """A frozen encoder-decoder that reads vectors as well as words."""

    dim: int
    fingerprint: str
    embedding_rms: float
    model: Any
    placed: bool  # by device_map, and not to be moved
    checkpointing: bool

    def tokenize(self, texts: list[str], *, end: bool = True) -> tuple[Tensor, Tensor]: ...
    def embed(self, ids: Tensor) -> Tensor: ...
    def embed_words(self, scenes: list[str]) -> Tensor: ...
    def decode(self, ids: Tensor) -> list[str]: ...


class BridgedModel(nn.Module):
    r"""A frozen T5 whose encoder reads [bridge(patches); prompt].

    $\mathcal L = -\frac1{|y|} \sum_t \log p_{T5}(y_t \mid y_{<t}, [s f_\theta((x - \mu) / \sigma); E(p)])$

    Patches $x$ are standardised per channel with the mean $\mu$ and deviation $\sigma$ of the training images' patches, the
    same for every bridge. The scale $s$ brings a bridge's output at initialization to the RMS of the T5's word embeddings $E$.
    This is one rule for all bridges, so that a learning rate means the same for each. Words are embeddings already: they are
    neither standardised nor scaled. $p$ is the prompt.

    With `insert="encoder_output"` the encoder reads the prompt alone and the decoder attends to
    $[s f_\theta(x); \mathrm{Enc}(E(p))]$ (Grounded Q-Former, arXiv:2311.07449). This is cheaper, and only the bridge stands
    between patches and decoder. The scale $s$ is then relative to the encoder's output. Words are always read by the encoder.

    With `insert="cross_attention"` the encoder reads the prompt alone, and gated cross-attention between the layers of one of the
    T5's stacks reads the tokens (Flamingo, arXiv:2204.14198). These blocks are trained with the bridge. They start with closed
    gates, so the T5's output is at first that of the prompt alone. The scale $s$ brings tokens to an RMS of 1, that of the
    normalized latents that Flamingo's blocks read, so that keys and values start at the same scale for every bridge. Words are
    read by the encoder of the T5 without blocks.

    An adapter may be trained with the bridge. A soft prompt is at the front of the encoder's input, wherever visual tokens enter:
    it instructs the T5. LoRA changes the T5's matrices. A conditioned bridge always gets the question from the frozen T5, so
    that it means the same with every adapter.

    A batch holds `patches` [batch, patch, vision_dim]; `prompt` and `labels`, int64 [batch, position], where labels of `IGNORED`
    (-100) do not count; and `prompt_mask`, true for words [batch, position]. For a conditioned bridge it also holds `question` and
    `question_mask`, like prompt and mask. With `tokens`, the loss is the sum over labels divided by it. `TokenizedExamples.batch`
    makes such batches.

    Args:
        bridge: patches [batch, patch, vision_dim] -> visual tokens [batch, token, text_dim]; its `sees` says what it reads.
        text: the frozen language model.
        mean: of the patches [vision_dim]; None for 0.
        std: of the patches [vision_dim]; None for 1.
        precision: `bf16` runs matrix products under autocast, `fp32` does not.
        insert: where visual tokens enter the T5, one of `INSERTS`.
        positions: (patches, vision_dim) of learned positions, added to the standardised patches; None for none.
        cross_attention: the blocks that read the tokens with `insert="cross_attention"`, and with no other.
        adapter: what is trained of the language side.
    Raises:
        ValueError: if `precision` or `insert` is unknown, the T5 is in float16, or blocks and `insert` do not go together.
    """

    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        bridge: nn.Module,
        text: LanguageModel,
        *,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        precision: str = "fp32",
        insert: str = "encoder_input",
        positions: tuple[int, int] | None = None,
        cross_attention: CrossAttentionLayers | None = None,
        adapter: Adapter = NO_ADAPTER,
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
        if (self.insert == "cross_attention") != (cross_attention is not None):
            raise ValueError(
                f"insert={self.insert!r} and cross_attention={'blocks' if cross_attention else None}: blocks belong to "
                "insert='cross_attention' alone. Give both or neither."
            )
        self.cross_attention = cross_attention
        self._text = (text,)  # a tuple keeps its weights from being registered twice
        frozen = text.model.requires_grad_(False).eval()
        self.has_lora = adapter.language is not None
        if text.placed:  # not a submodule, so that `.to(device)` leaves its layers on their devices
            object.__setattr__(self, "language", frozen)
        else:
            self.language = adapter.language if self.has_lora else frozen
        self.soft_prompt = adapter.prompt
        # Used on a CPU alone: on a GPU, and under torch.compile, transformers' own encoder is as fast.
        supported = (
            text.model.dtype == torch.float32
            and FrozenT5Encoder.supports(text.model)
            and not text.checkpointing
        )
        self._frozen_encoder = FrozenT5Encoder(text.model, PRECISIONS[precision]) if supported else None
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
    def text(self) -> LanguageModel:
        """The frozen language model with its tokenizer."""
        return self._text[0]

    @property
    def adapter_parameters(self) -> list[nn.Parameter]:
        """The trained parameters of the language side, which no budget of the bridge counts."""
        lora = [p for p in self.language.parameters() if p.requires_grad] if self.has_lora else []
        return lora if self.soft_prompt is None else [*lora, self.soft_prompt]

    def train(self, mode: bool = True) -> "BridgedModel":
        """Train the bridge; the language model stays in eval mode, without dropout."""
        super().train(mode)
        self.language.eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """Return all weights and buffers but those of the frozen language model."""
        return {name: value for name, value in self.state_dict().items() if not is_frozen(f"model.{name}")}

    def load_trained(self, tensors: Mapping[str, Tensor], source: object) -> None:
        """Load what `trained_state` returned: the bridge, an adapter, the patches' moments, positions and the scale.

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
                f"{source} does not fit the bridge of its config ({' '.join(str(error).split())}). The bridge's code has changed "
                "since: train again."
            ) from error
        missing = [name for name in missing if not is_frozen(f"model.{name}")]
        if missing or unexpected:
            raise ValueError(
                f"{source} does not fit the bridge of its config: lacks {missing}, has {unexpected} besides. The bridge's code "
                "has changed since: train again."
            )

    def init_output_scale(self, *micro_batches: dict[str, Tensor]) -> None:
        """Set the scale $s$ from a first batch, so that visual tokens have the RMS of the vectors in their sequence.

        Those are the T5's word embeddings or, with `insert="encoder_output"`, its encoder's output. With
        `insert="cross_attention"` tokens are in a sequence of their own, and get an RMS of 1. Later calls do nothing.

        Args:
            micro_batches: of the batch; all of it in one, or several if it does not fit into memory.
        Raises:
            ValueError: if the bridge's output is all zero or not finite.
        """
        if not self.scale.isnan():
            return
        with torch.no_grad(), self._autocast():
            rms = _rms([self._raw_prefix(batch) for batch in micro_batches])
            target_rms: float = 1.0 if self.insert == "cross_attention" else self.text.embedding_rms
            if self.insert == "encoder_output":
                masks = [batch["prompt_mask"].bool() for batch in micro_batches]
                encoded = [
                    self._encoder(self.text.embed(batch["prompt"]), mask)
                    for batch, mask in zip(micro_batches, masks, strict=True)
                ]
                # The encoder of a T5 on several devices may end on another one than the batch's.
                target_rms = _rms(
                    [x[mask.to(x.device)] for x, mask in zip(encoded, masks, strict=True)]
                ).item()
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

    def encode(self, batch: dict[str, Tensor]) -> Encoded:
        """Return what the T5's decoder reads. Visual tokens are NaN before `init_output_scale`."""
        with self._autocast():
            return self.encode_prefix(self._raw_prefix(batch) * self.scale, batch)

    def encode_prefix(self, prefix: Tensor, batch: dict[str, Tensor]) -> Encoded:
        """Do as `encode` with visual tokens that are computed already."""
        with self._autocast():
            if self.insert == "encoder_input":
                return self._encode_before(prefix, batch)
            prompt, mask = self.text.embed(batch["prompt"]), batch["prompt_mask"]
            if self.cross_attention is not None:
                if self.cross_attention.stack == "encoder":
                    return self._read(prompt, mask, prefix)
                return self._read(prompt, mask)._replace(visual=prefix)
            read = self._read(prompt, mask)
            return Encoded(
                torch.cat([prefix.to(read.hidden), read.hidden], 1), self._with_prefix(read.mask, prefix)
            )

    def encode_words(self, scenes: list[str], batch: dict[str, Tensor]) -> Encoded:
        """Do as `encode` with texts instead of visual tokens, each directly before its prompt.

        The T5 tells distances between words, so padding is behind the prompt: what it reads of a text does not depend on the others.
        """
        prompt = batch["prompt"]
        ids, mask = (one.to(prompt.device) for one in self.text.tokenize(scenes, end=False))
        ids, mask = torch.cat([ids, prompt], 1), torch.cat([mask, batch["prompt_mask"]], 1)
        order = mask.logical_not().int().argsort(dim=1, stable=True)
        with self._autocast():
            return self._read(self.text.embed(ids.gather(1, order)), mask.gather(1, order))

    def log_probs(
        self, encoded: Encoded, labels: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length"]:
        """Return the log-probability of each label given those before it; 0 for ignored labels."""
        with self._autocast(), self._reading(self.language.decoder, encoded.visual):
            logits = self.language(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded.hidden),
                attention_mask=encoded.mask,
                decoder_input_ids=self._shift(labels),
                use_cache=False,
            ).logits
        loss = F.cross_entropy(
            logits.to(labels.device).float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return -loss

    def loss(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Return the mean negative log-probability of the targets' tokens; their sum over `batch["tokens"]` if that is set.

        It is NaN before `init_output_scale`.
        """
        labels = batch["labels"]
        tokens = batch.get("tokens", (labels != IGNORED).sum())
        return -self.log_probs(self.encode(batch), labels).sum() / tokens

    def forward(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Return `loss`: distributed training and torch.compile wrap `forward`."""
        return self.loss(batch)

    @torch.no_grad()
    def likelihood(self, batch: dict[str, Tensor], encoded: Encoded | None = None) -> Float[Tensor, " batch"]:
        """Return the log-probability of each example's whole target, end token included; NaN before `init_output_scale`."""
        return self.log_probs(encoded or self.encode(batch), batch["labels"]).sum(1)

    @torch.no_grad()
    def choice_likelihoods(
        self, encoded: Encoded, choices: Int[Tensor, "batch choice length"]
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
        encoded: Encoded | None = None,
    ) -> Int[Tensor, "batch length"]:
        """Generate answers by transformers' own loop, greedily or by beam search, and return them without the start token."""
        encoded = encoded or self.encode(batch)
        with self._autocast(), self._reading(self.language.decoder, encoded.visual):
            ids = self.language.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded.hidden),
                attention_mask=encoded.mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=num_beams,
            )
        return ids[:, 1:]

    def _encode_before(self, prefix: Tensor, batch: dict[str, Tensor]) -> Encoded:
        prompt, mask = self.text.embed(batch["prompt"]), self._with_prefix(batch["prompt_mask"], prefix)
        return self._read(torch.cat([prefix.to(prompt), prompt], 1), mask)

    def _read(self, embedded: Tensor, mask: Tensor, visual: Tensor | None = None) -> Encoded:
        """Return what the encoder makes of vectors behind the soft prompt, as `_encoder` does."""
        if self.soft_prompt is not None:
            soft = self.soft_prompt.to(embedded).expand(len(embedded), -1, -1)
            embedded, mask = torch.cat([soft, embedded], 1), self._with_prefix(mask, soft)
        return Encoded(self._encoder(embedded, mask, visual), mask)

    @staticmethod
    def _with_prefix(mask: Tensor, prefix: Tensor) -> Tensor:
        return torch.cat([mask.new_ones(len(mask), prefix.shape[1]), mask], 1)

    def _encoder(
        self, embedded: Tensor, mask: Tensor, visual: Tensor | None = None, *, frozen: bool = False
    ) -> Tensor:
        """Return what the encoder makes of vectors: that of the language model, or of the frozen T5 without LoRA."""
        language = self.text.model if frozen else self.language
        encoder = self._frozen_encoder if frozen or not self.has_lora else None
        if encoder is not None and embedded.device.type == "cpu" and not torch.compiler.is_compiling():
            return encoder(embedded, mask.bool(), None if visual is None else self._reader(visual))
        with self._reading(language.encoder, visual):
            return language.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state

    def _reading(self, stack: Any, visual: Tensor | None) -> AbstractContextManager:
        """Let a stack's layers read visual tokens by gated cross-attention inside this context."""
        return nullcontext() if visual is None else before_layers(stack.block, self._reader(visual))

    def _reader(self, visual: Tensor) -> Callable[[int, Tensor], Tensor]:
        assert self.cross_attention is not None
        read = self.cross_attention.reader(visual)

        def autocast_read(layer: int, hidden: Tensor) -> Tensor:
            with self._autocast():  # `FrozenT5Encoder` turns it off for its own products
                return read(layer, hidden)

        return autocast_read

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
            question = self._encoder(self.text.embed(batch["question"]), mask, frozen=True)
        return self.bridge(patches, question.to(patches), mask)

    def _shift(self, labels: Tensor) -> Tensor:
        start = torch.full_like(labels[:, :1], self.language.config.decoder_start_token_id)
        shifted = torch.cat([start, labels[:, :-1]], 1)
        return shifted.masked_fill(shifted == IGNORED, self.language.config.pad_token_id)

    def _autocast(self) -> AbstractContextManager:
        # A T5 loaded in bfloat16 runs in it throughout; of one in float32, only the matrix products do.
        return torch.autocast(self.scale.device.type, torch.bfloat16, enabled=self.precision == "bf16")
