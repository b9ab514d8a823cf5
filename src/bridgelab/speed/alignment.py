"""A step of an alignment beside the same losses made of transformers' BLIP-2 classes, with the same weights.

Both run forward and backward on the same images and captions in turn, so that other load slows both alike. The reference passes
queries alone, captions alone, three pairs per image for matching, and queries with captions for generation. The last is what
transformers' class needs, which has no cache: the authors' code (LAVIS) keeps keys and values of the queries' pass for it, and
passes captions alone. So the reference does more work than theirs. It runs without dropout, as ours does, in whichever
`attn_implementation` is the fastest.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2QFormerConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel, Blip2TextEmbeddings

from bridgelab.alignment.contrastive import LABEL_SMOOTHING, contrastive_loss, hard_negatives, similarity
from bridgelab.alignment.model import Alignment
from bridgelab.alignment.weights import weights_of
from bridgelab.bridge.convert import to_published
from bridgelab.bridge.qformer import QFormer
from bridgelab.data.batches import LABEL_IGNORED
from bridgelab.speed.reference import ATTENTION, kept_memory

ALIGNMENT_COLUMNS = ("size", "pairs", "ours ms", "theirs ms", "their attention", "theirs/ours")
TIMES, WARM_UP = 5, 1


class Size(NamedTuple):
    """Sizes of an alignment and of its batch."""

    name: str
    vision_dim: int
    patches: int
    choices: dict[str, Any]
    vocabulary: int
    words: int
    pairs: int


SIZES = (
    Size("ours", 160, 64, {"num_queries": 16, "depth": 2, "width": 128, "num_heads": 4}, 200, 48, 16),
    Size(
        "published", 1408, 257, {"num_queries": 32, "depth": 12, "width": 768, "num_heads": 12}, 30522, 31, 2
    ),
)


class Blip2Alignment(nn.Module):
    """The losses by transformers' Q-Former, which has no heads for generation: ours is used, at its own place.

    Args:
        size: of the model.
        ours: our model, for what transformers lacks.
        attention: transformers' implementation.
    """

    def __init__(self, size: Size, ours: Alignment, attention: str):
        super().__init__()
        width = size.choices["width"]
        config = Blip2QFormerConfig(
            vocab_size=size.vocabulary + 2,
            max_position_embeddings=size.words + 1,
            hidden_size=width,
            num_hidden_layers=size.choices["depth"],
            num_attention_heads=size.choices["num_heads"],
            intermediate_size=4 * width,
            encoder_hidden_size=size.vision_dim,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            use_qformer_text_input=True,
            attn_implementation=attention,
        )
        self.vision_model = nn.ModuleDict({"post_layernorm": nn.LayerNorm(size.vision_dim, eps=1e-6)})
        self.query_tokens = nn.Parameter(torch.zeros(1, size.choices["num_queries"], width))
        self.embeddings = Blip2TextEmbeddings(config)
        self.qformer = Blip2QFormerModel(config)
        self.vision_projection = nn.Linear(width, ours.vision_proj.out_features)
        self.text_projection = nn.Linear(width, ours.text_proj.out_features)
        self.itm_head = nn.Linear(width, 2)
        self.lm_head, self.log_temp = ours.lm_head, ours.log_temp
        self.dec, self.captions = ours.dec, ours.captions
        self.load_state_dict(to_published(weights_of(ours), "blip2_itm_hf"), strict=False)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses `itc`, `itm` and `itg`, as `Alignment` does."""
        ids, mask = self.captions(batch["labels"])
        images = self.vision_model["post_layernorm"](batch["patches"])
        pairs, count = len(ids), self.query_tokens.shape[1]
        queries = self.query_tokens.expand(pairs, -1, -1)
        seen = self.qformer(queries, encoder_hidden_states=images).last_hidden_state
        words = self.qformer(
            self.embeddings(input_ids=ids), query_length=0, attention_mask=mask
        ).last_hidden_state
        image = F.normalize(self.vision_projection(seen.to(images.dtype)), dim=-1)
        text = F.normalize(self.text_projection(words[:, 0].to(images.dtype)), dim=-1)
        logits = similarity(image, text) / self.log_temp.exp()
        same = batch["image"][:, None] == batch["image"]
        draws = batch["draws"].unbind(1)
        other_image, other_text = (
            hard_negatives(x.detach(), same, u) for x, u in zip((logits.T, logits), draws, strict=True)
        )
        own = torch.arange(pairs, device=ids.device)
        of_image, of_text = torch.cat([own, other_image, own]), torch.cat([own, own, other_text])
        matched = self._read(ids[of_text], images[of_image], self._both(mask[of_text], count))[:, :count]
        matching = self.itm_head(matched.to(images.dtype)).mean(dim=1)
        decoded = ids.clone()
        decoded[:, 0] = self.dec
        generated = self._read(decoded, images, _causal(mask, count, images.dtype))[:, count:-1]
        real = batch["labels"] != LABEL_IGNORED
        words_of = self.lm_head(generated[real], self.embeddings.word_embeddings.weight)
        return {
            "itc": contrastive_loss(logits, logits.T, same),
            "itm": F.cross_entropy(matching, (batch["image"][of_image] == batch["image"][of_text]).long()),
            "itg": F.cross_entropy(words_of, batch["labels"][real], label_smoothing=LABEL_SMOOTHING),
        }

    def _read(self, ids: Tensor, images: Tensor, mask: Tensor) -> Tensor:
        queries = self.query_tokens.expand(len(ids), -1, -1)
        both = self.embeddings(input_ids=ids, query_embeds=queries)
        return self.qformer(
            both, query_length=queries.shape[1], attention_mask=mask, encoder_hidden_states=images
        ).last_hidden_state

    @staticmethod
    def _both(mask: Tensor, count: int) -> Tensor:
        return torch.cat([mask.new_ones(len(mask), count), mask], dim=1)


def _causal(mask: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Return what multimodal causal attention adds to its scores [pair, 1, token, token], over queries and words."""
    total = count + mask.shape[1]
    place = torch.arange(total, device=mask.device)
    allowed = (place[None, :] < count) | ((place[:, None] >= count) & (place[None, :] <= place[:, None]))
    allowed = allowed & F.pad(mask, (count, 0), value=True)[:, None]
    return torch.zeros(allowed.shape, dtype=dtype, device=mask.device).masked_fill(
        ~allowed, torch.finfo(dtype).min
    )[:, None]


def build_models(size: Size, device: str) -> tuple[Alignment, dict[str, nn.Module], dict[str, Tensor]]:
    """Return our model, the reference by `attn_implementation`, all with the same weights, and a batch."""
    torch.manual_seed(0)
    bridge = QFormer(size.vision_dim, 8, **size.choices)
    ours = Alignment(bridge, vocabulary=size.vocabulary, max_length=size.words, embed_dim=256).to(device)
    theirs: dict[str, nn.Module] = {
        attention: Blip2Alignment(size, ours, attention).to(device) for attention in ATTENTION
    }
    batch = {
        "patches": torch.randn(size.pairs, size.patches, size.vision_dim),
        "labels": torch.randint(1, size.vocabulary, (size.pairs, size.words)),
        "image": torch.arange(size.pairs),
        "draws": torch.rand(size.pairs, 2),
    }
    return ours, theirs, {name: value.to(device) for name, value in batch.items()}


def alignment_rows(device: str) -> Iterator[list[str]]:
    """Yield rows under `ALIGNMENT_COLUMNS`."""
    for size in SIZES:
        with kept_memory() if device == "cpu" else nullcontext():
            yield _row(size, device)


def _row(size: Size, device: str) -> list[str]:
    ours, theirs, batch = build_models(size, device)
    steps = {name: _step(model, batch) for name, model in {"ours": ours, **theirs}.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + TIMES):
        for name in random.Random(turn).sample(list(steps), len(steps)):
            began = time.perf_counter()
            steps[name]()
            if device == "cuda":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times[WARM_UP:]) for name, times in taken.items()}
    fastest = min(theirs, key=lambda name: median[name])
    times = [f"{1e3 * median[name]:.1f}" for name in ("ours", fastest)]
    return [size.name, str(size.pairs), *times, fastest, f"{median[fastest] / median['ours']:.2f}"]


def _step(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], Any]:
    parameters = [p for p in model.parameters() if p.requires_grad]

    def step() -> Any:
        loss = torch.stack(list(model(batch).values())).sum()
        return torch.autograd.grad(loss, parameters)

    return step
