"""A Q-Former with its text side, and the three losses of BLIP-2's first stage."""

import math
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.alignment.contrastive import (
    LABEL_SMOOTHING,
    contrastive_loss,
    gathered,
    hard_negatives,
    processes,
    similarity,
)
from bridgelab.alignment.masks import bi_directional, uni_modal_and_causal
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.qformer_layer import EPS, KeysValues
from bridgelab.data.batches import LABEL_IGNORED

PatchKV = list[KeysValues | None]
TEMPERATURE = 0.07  # at first, as published
LEAST_TEMPERATURE = 0.01  # as in CLIP, arXiv:2103.00020


class Others(NamedTuple):
    """A negative image and a negative caption for each pair.

    Args:
        patch_kv: the images' keys and values, by layer.
        ids: tokens of the captions [pair, word].
        mask: where they are no padding [pair, word].
    """

    patch_kv: PatchKV
    ids: Tensor
    mask: Tensor


class LMHead(nn.Module):
    r"""Predict words: $\mathrm{LN}(\mathrm{GELU}(h W + b))\, E^\top + c$, with the word embeddings $E$.

    Source: Devlin et al. 2019, arXiv:1810.04805, in BLIP-2's text generation.

    Args:
        width: channels of a hidden state.
        vocabulary: the number of words.
    """

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(
        self, hidden: Float[Tensor, "*batch width"], embeddings: Float[Tensor, "word width"]
    ) -> Float[Tensor, "*batch word"]:
        return F.linear(self.LayerNorm(F.gelu(self.dense(hidden))), embeddings, self.bias)


class Alignment(nn.Module):
    r"""A Q-Former that learns to represent images by their captions, without a language model.

    - Image–text contrast: $\mathrm{sim}(x, t) = \max_q \langle f(q), g(t_{[CLS]}) \rangle / \tau$ against the batch.
    - Image–text matching: does a caption belong to an image? The mean over the queries of a linear head's logits, for each
      pair of the batch, and for a hard negative image and caption of each.
    - Image-grounded text generation: the caption's words after [DEC], given the queries and the words before.

    The loss is their sum. Words share the queries' self-attention, and have embeddings and FFNs of their own.

    Source: BLIP-2, Li et al. 2023, arXiv:2301.12597, sections 3.1 and 3.2. Differs: trained from scratch, not from BERT, with
    the words of the T5's tokenizer; the temperature is learned by its logarithm, as in CLIP, so that a step's size does
    not depend on it. The last layer's words are not computed for matching, which does not read them.
    Queries pass once for contrast and generation, as in the authors' code. Unlike there, keys and values of the patches are
    computed once for all three losses.

    Args:
        bridge: an unconditioned Q-Former without text FFNs; it gets them here.
        vocabulary: the number of words of the tokenizer; [CLS] and [DEC] follow them.
        max_length: the most tokens of a caption.
        embed_dim: channels in which images and texts are compared (published: 256).
        precision: `bf16` runs matrix products under autocast, `fp32` does not.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        bridge: QFormer,
        *,
        vocabulary: int,
        max_length: int,
        embed_dim: int,
        precision: str = "fp32",
    ):
        super().__init__()
        width = bridge.query_tokens.shape[-1]
        bridge.add_text_ffns()
        bridge.language_projection.requires_grad_(False)  # of the second stage
        self.bridge, self.precision = bridge, precision
        self.cls, self.dec = vocabulary, vocabulary + 1
        self.word_embeddings = nn.Embedding(vocabulary + 2, width)
        self.position_embeddings = nn.Embedding(max_length + 1, width)
        for embeddings in (self.word_embeddings, self.position_embeddings):
            nn.init.normal_(embeddings.weight, std=0.02 * math.sqrt(768 / width))
        self.vision_proj = nn.Linear(width, embed_dim)
        self.text_proj = nn.Linear(width, embed_dim)
        self.itm_head = nn.Linear(width, 2)
        self.lm_head = LMHead(width, vocabulary + 2)
        self.log_temp = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def set_moments(self, mean: Float[Tensor, " vision_dim"], std: Float[Tensor, " vision_dim"]) -> None:
        """Set the moments by which patches are standardized, as the second stage does."""
        self.mean, self.std = mean.float(), std.float().clamp_min(1e-6)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
        """Return the losses `itc`, `itm` and `itg`.

        Args:
            batch: `patches` [pair, patch, vision_dim]; `labels`, the captions' tokens [pair, position]; `image`, a number for
                each image [pair]; `draws`, uniform numbers that choose hard negatives [pair, 2]; optionally `tokens`, the
                divisor of the sum over words.
        """
        ids, mask = self.captions(batch["labels"])
        with self._autocast():
            patch_kv = self._project_patches(batch["patches"])
            queries, caption, generated = self._read_apart(patch_kv, ids, mask)
        image, text = self._image(queries), self._text(caption)
        images, texts, numbers = image, text, batch["image"]
        shared = self.training and processes() > 1  # in evaluation each process has the same pairs
        if shared:
            images, texts, numbers = gathered(image), gathered(text), gathered(numbers)
        temp = self._temperature()
        to_text, to_image = similarity(image, texts) / temp, similarity(images, text).T / temp
        same = batch["image"][:, None] == numbers
        with torch.no_grad():
            other_image, other_text = (
                hard_negatives(logits, same, draws)
                for logits, draws in zip((to_image, to_text), batch["draws"].unbind(1), strict=True)
            )
        if shared:
            others = self._others(batch, other_image, other_text)
        else:
            others = Others([x and x.of(other_image) for x in patch_kv], ids[other_text], mask[other_text])
        matches = torch.cat([numbers[other_image], numbers[other_text]]) == batch["image"].repeat(2)
        return {
            "itc": contrastive_loss(to_text, to_image, same),
            "itm": self._matching(patch_kv, ids, mask, others, matches),
            "itg": self._generation(generated[:, :-1], batch["labels"], batch.get("tokens")),
        }

    @torch.no_grad()
    def encode_images(
        self, patches: Float[Tensor, "image patch vision_dim"]
    ) -> Float[Tensor, "image query dim"]:
        """Return each query's unit vector, to be compared with texts."""
        with self._autocast():
            queries = self.bridge.layernorm(self.bridge.query_tokens)
            queries = self.bridge.read(queries, self._project_patches(patches), self.bridge.num_queries)
        return self._image(queries)

    @torch.no_grad()
    def encode_texts(self, labels: Int[Tensor, "text position"]) -> Float[Tensor, "text dim"]:
        """Return the captions' unit vectors."""
        ids, mask = self.captions(labels)
        with self._autocast():
            words = self.bridge.layernorm(self._embed(ids))
            words = self.bridge.read(words, [None] * len(self.bridge.layer), 0, mask)
        return self._text(words)

    def captions(
        self, labels: Int[Tensor, "text position"]
    ) -> tuple[Int[Tensor, "text word"], Bool[Tensor, "text word"]]:
        """Return token ids behind [CLS], and where they are no padding."""
        first, real = torch.full_like(labels[:, :1], self.cls), labels != LABEL_IGNORED
        return torch.cat([first, labels.masked_fill(~real, 0)], 1), F.pad(real, (1, 0), value=True)

    def matching_logits(
        self, patch_kv: PatchKV, ids: Int[Tensor, "pair word"], mask: Bool[Tensor, "pair word"]
    ) -> Float[Tensor, "pair 2"]:
        """Return the logits of "does not match" and "matches", the mean over the queries."""
        number = self.bridge.num_queries
        with self._autocast():
            hidden = self.bridge.embed(self._embed(ids))
            queries = self.bridge.read(
                hidden, patch_kv, number, bi_directional(mask, number), keep_words=False
            )
        return self.itm_head(queries.to(self.itm_head.weight.dtype)).mean(dim=1)

    def _read_apart(self, patch_kv: PatchKV, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return hidden states of the queries, of the caption by itself, and of the caption that is generated."""
        generated = ids.clone()
        generated[:, 0] = self.dec
        number, length = self.bridge.num_queries, ids.shape[1]
        hidden = self.bridge.embed(torch.cat([self._embed(ids), self._embed(generated)], dim=1))
        hidden = self.bridge.read(hidden, patch_kv, number, uni_modal_and_causal(mask, number))
        return hidden.split([number, length, length], dim=1)

    def _others(self, batch: dict[str, Tensor], other_image: Tensor, other_text: Tensor) -> Others:
        """Return negatives that are rows of all processes' pairs.

        Patches are exchanged, and not keys and values: of these only the negatives' are computed, with gradients here.
        """
        labels, longest = batch["labels"], len(self.position_embeddings.weight) - 1
        labels = gathered(F.pad(labels, (0, longest - labels.shape[1]), value=LABEL_IGNORED))[other_text]
        words = int((labels != LABEL_IGNORED).any(0).sum())
        with self._autocast():
            patch_kv = self._project_patches(gathered(batch["patches"])[other_image])
        return Others(patch_kv, *self.captions(labels[:, :words]))

    def _matching(
        self, patch_kv: PatchKV, ids: Tensor, mask: Tensor, others: Others, matches: Tensor
    ) -> Tensor:
        """Return the matching loss over all pairs, those with another image, and those with another caption.

        Args:
            patch_kv: the images' keys and values.
            ids: tokens of the captions.
            mask: where they are no padding.
            others: a negative image and caption of each pair.
            matches: whether these belong to the pair's image after all, images first.
        """
        images = [
            own and other and KeysValues(*(torch.cat([a, b, a]) for a, b in zip(own, other, strict=True)))
            for own, other in zip(patch_kv, others.patch_kv, strict=True)
        ]
        width = max(ids.shape[1], others.ids.shape[1])
        texts, masks = (
            torch.cat([F.pad(x, (0, width - x.shape[1])) for x in (own, own, other)])
            for own, other in ((ids, others.ids), (mask, others.mask))
        )
        target = torch.cat([matches.new_ones(len(ids)), matches]).long()
        return F.cross_entropy(self.matching_logits(images, texts, masks), target)

    def _generation(self, hidden: Tensor, labels: Tensor, tokens: Tensor | None) -> Tensor:
        """Return the loss of predicting each word; over `tokens` instead of their number if that is given."""
        real = labels != LABEL_IGNORED
        with self._autocast():
            logits, targets = self.lm_head(hidden[real], self.word_embeddings.weight), labels[real]
        logits = logits.to(self.lm_head.bias.dtype)
        loss = F.cross_entropy(logits, targets, label_smoothing=LABEL_SMOOTHING, reduction="sum")
        return loss / (len(targets) if tokens is None else tokens)

    def _project_patches(self, patches: Tensor) -> PatchKV:
        return list(self.bridge.project_patches((patches.to(self.mean.dtype) - self.mean) / self.std))

    def _embed(self, ids: Tensor) -> Tensor:
        return self.word_embeddings(ids) + self.position_embeddings.weight[: ids.shape[1]]

    def _image(self, queries: Tensor) -> Tensor:
        return F.normalize(self.vision_proj(queries.to(self.vision_proj.weight.dtype)), dim=-1)

    def _text(self, words: Tensor) -> Tensor:
        return F.normalize(self.text_proj(words[:, 0].to(self.text_proj.weight.dtype)), dim=-1)

    def _temperature(self) -> Tensor:
        with torch.no_grad():
            self.log_temp.clamp_(min=math.log(LEAST_TEMPERATURE))
        return self.log_temp.exp()

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.mean.device.type, torch.bfloat16, enabled=self.precision == "bf16")
