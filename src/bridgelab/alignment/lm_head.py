"""BERT's head for predicting words."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.qformer_layer import EPS


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
