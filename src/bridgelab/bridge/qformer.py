"""The Q-Former of BLIP-2: a small BERT over learned queries that cross-attend to the patches."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import cast_for_matmul
from bridgelab.bridge.conditioning import check_conditioning, require_question
from bridgelab.bridge.fold_norm import standardize
from bridgelab.bridge.qformer_layer import EPS, KeysValues, Layer, init_linears


class QFormer(nn.Module):
    r"""Compress any number of patches into `num_queries` tokens with a small BERT over learned queries.

    At entry $q \leftarrow \mathrm{LN}(q)$; with a question $[q; w] \leftarrow \mathrm{LN}([q; w])$, where $w$ are its words, which
    take part in self-attention and have FFNs of their own. Per layer, $q \leftarrow \mathrm{LN}(q + \mathrm{SelfAttn}(q))$;
    in layers 0, n, 2n, ... $q \leftarrow \mathrm{LN}(q + \mathrm{CrossAttn}(q, \mathrm{LN}_v(x)))$;
    $q \leftarrow \mathrm{LN}(q + \mathrm{FFN}(q))$. At the end $t = q W + b$.

    Source: BLIP-2, Li et al. 2023, arXiv:2301.12597 (12 layers of width 768, 12 heads, FFN 3072, 32 queries); with a
    question InstructBLIP, Dai et al. 2023, arXiv:2305.06500. Differs: the words are the frozen T5's, through one linear
    layer to `width`, not BERT's; the last layer has no text FFN, since nothing reads its output.
    Differs: trained from scratch, not from BERT, with BERT's init: standard deviation 0.02 at width 768, scaled by
    $\sqrt{768 / \text{width}}$ at other widths, so that activations are as large in a small Q-Former as in the published
    one. Dropout is off by default. Queries start as $\mathcal{N}(0, 0.02^2)$: equal queries would stay equal, and zero
    queries have a huge first gradient through a LayerNorm with eps 1e-12.

    Keys of transformers' `Blip2ForConditionalGeneration` → ours; names not listed are unchanged:
    `vision_model.post_layernorm` → `ln_vision`; `qformer.layernorm` → `layernorm`;
    `qformer.encoder.layer.{i}` → `layer.{i}`, and in it
    `intermediate_query.dense`, `output_query` → `ffn_query.dense`, `ffn_query.output`;
    `intermediate.dense`, `output` → `ffn_text.dense`, `ffn_text.output`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        num_queries: number of learned queries, and so of tokens.
        depth: number of layers.
        width: channels of one query.
        num_heads: attention heads; must divide `width`.
        cross_attention_every: layers 0, n, 2n, ... attend to the patches.
        ffn_ratio: hidden width of the FFN over `width`.
        dropout: of attention weights and before every residual sum (published: 0.1).
        query_gain: factor on the initial query weights of cross-attention. Published is 1, where attention starts almost
            uniform, so that every query reads the mean patch.
        conditioning: whether queries see the question; one of `conditioning.CONDITIONING`.
    Raises:
        ValueError: if a count is less than 1, `num_heads` does not divide `width`, `dropout` is not in [0, 1),
            `query_gain` is not positive, or `conditioning` is unknown.
    """

    sized_by = "width"
    paper = "BLIP-2, arXiv:2301.12597"
    code_licence = "BSD-3-Clause"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        num_queries: int,
        depth: int,
        width: int,
        num_heads: int,
        cross_attention_every: int = 2,
        ffn_ratio: int = 4,
        dropout: float = 0.0,
        query_gain: float = 1.0,
        conditioning: str = "none",
    ):
        super().__init__()
        require_positive(num_queries=num_queries, depth=depth, width=width, num_heads=num_heads)
        require_positive(cross_attention_every=cross_attention_every, ffn_ratio=ffn_ratio)
        require_divisor("num_heads", num_heads, "width", width)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout={dropout} is not in [0, 1). Set bridge.dropout to 0 or, as published, to 0.1."
            )
        if query_gain <= 0:
            raise ValueError(
                f"query_gain={query_gain} is not positive. Set bridge.query_gain to 1, as published, or more."
            )
        check_conditioning(conditioning)
        self.vision_dim, self.text_dim, self.num_queries = vision_dim, text_dim, num_queries
        self.conditioning = conditioning
        self.query_tokens = nn.Parameter(0.02 * torch.randn(1, num_queries, width))
        # BLIP-2 trains this norm with the Q-Former in place of the ViT's last; eps as transformers has it.
        self.ln_vision = nn.LayerNorm(vision_dim, eps=1e-6)
        self.layernorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.ModuleList(
            Layer(
                width,
                vision_dim,
                num_heads,
                ffn_ratio * width,
                dropout,
                cross_attention=i % cross_attention_every == 0,
                text=conditioning != "none" and i < depth - 1,
            )
            for i in range(depth)
        )
        init_linears(self.layer, width)
        with torch.no_grad():
            for name, p in self.layer.named_parameters():
                if name.endswith("crossattention.attention.query.weight"):
                    p.mul_(query_gain)
        self.text_projection = None
        if conditioning != "none":
            self.text_projection = nn.Linear(text_dim, width, bias=False)
        self.language_projection = nn.Linear(width, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_queries} {self.text_dim}"]:
        """Read the patches into the queries. `text` is ignored if `conditioning` is "none".

        Raises:
            ValueError: if the bridge is conditioned and `text` is None.
        """
        patch_kv, mask = self.project_patches(patches), None
        if self.text_projection is None:
            hidden = self.layernorm(self.query_tokens)
            # Before cross-attention queries are the same for every image, except under dropout.
            if self.training and self.dropout.p:
                hidden = hidden.expand(len(patches), -1, -1)
            hidden = self.dropout(hidden)
        else:
            words, word_mask = require_question(text, text_mask, self.conditioning)
            hidden = self.embed(self.text_projection(words))
            mask = torch.cat([word_mask.new_ones(len(word_mask), self.num_queries), word_mask], dim=1)
        return self.language_projection(self.read(hidden, patch_kv, self.num_queries, mask))

    def project_patches(
        self, patches: Float[Tensor, "batch patch {self.vision_dim}"]
    ) -> Iterator[KeysValues | None]:
        """Yield the patches as each layer's cross-attention reads them; None for a layer without one."""
        standardized = cast_for_matmul(standardize(patches, self.ln_vision))
        for layer in self._layers:
            yield layer.project_patches(standardized, self.ln_vision)

    def embed(self, words: Float[Tensor, "batch word width"]) -> Float[Tensor, "batch token width"]:
        """Return [queries; words], normalized, as the first layer reads them."""
        queries = self.query_tokens.expand(len(words), -1, -1)
        return self.dropout(self.layernorm(torch.cat([queries, words.to(queries.dtype)], dim=1)))

    def read(
        self,
        hidden: Float[Tensor, "#batch token width"],
        patch_kv: Iterable[KeysValues | None],
        num_queries: int,
        mask: Bool[Tensor, "batch token"] | Bool[Tensor, "batch token token"] | None = None,
        *,
        keep_words: bool = True,
    ) -> Float[Tensor, "batch kept width"]:
        """Pass [queries; words] through all layers.

        Args:
            hidden: `num_queries` queries, then words.
            patch_kv: the patches, as `project_patches` yields them.
            num_queries: 0 if there are only words.
            mask: true where a token may be read, by all tokens of an example or by each.
            keep_words: return the words too, if the last layer has an FFN for them.
        """
        for number, (layer, keys_values) in enumerate(zip(self.layer, patch_kv, strict=True), 1):
            keep = keep_words or number < len(self.layer)
            hidden = layer(hidden, keys_values, num_queries, mask, keep_words=keep)
        return hidden

    def add_text_ffns(self) -> None:
        """Give every layer an FFN for words, as BLIP-2's first stage trains them."""
        for layer in self._layers:
            layer.add_text_ffn()

    @property
    def _layers(self) -> Iterator[Layer]:
        for layer in self.layer:
            assert isinstance(layer, Layer)
            yield layer
