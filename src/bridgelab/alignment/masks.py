"""Self-attention masks of BLIP-2's first stage (arXiv:2301.12597, figure 2): true where a token may read another."""

import torch
from jaxtyping import Bool
from torch import Tensor


def bi_directional(
    words: Bool[Tensor, "batch word"], num_queries: int
) -> Bool[Tensor, "batch query_and_word"]:
    """Return the mask for image–text matching: queries and words read each other.

    Args:
        words: true for a caption's tokens, false for padding.
        num_queries: the number of queries, which come first.
    """
    return torch.cat([words.new_ones(len(words), num_queries), words], dim=1)


def uni_modal_and_causal(
    words: Bool[Tensor, "batch word"], num_queries: int
) -> Bool[Tensor, "batch token token"]:
    """Return the masks for the contrastive loss and for text generation, side by side.

    The tokens are [queries; caption; caption], the second caption for generation. In both of the paper's masks, uni-modal
    and multimodal causal, queries read queries alone. So one pass over the queries serves both.

    - Queries read queries.
    - Words of the first caption read its words (uni-modal).
    - Words of the second caption read the queries, themselves and the words before (multimodal causal).

    Args:
        words: true for a caption's tokens, false for padding.
        num_queries: the number of queries, which come first.
    """
    batch, length = words.shape
    total = num_queries + 2 * length
    queries, caption = slice(0, num_queries), slice(num_queries, num_queries + length)
    generated = slice(num_queries + length, total)
    mask = words.new_zeros(batch, total, total)
    mask[:, queries, queries] = True
    mask[:, caption, caption] = words[:, None]
    mask[:, generated, queries] = True
    mask[:, generated, generated] = words[:, None].expand(-1, length, -1).tril()
    return mask
