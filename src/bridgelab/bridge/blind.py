"""The blind floor: a learned prompt without any image."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Blind(nn.Module):
    r"""As many learned tokens as a bridge outputs, the same for every image: what training gives without vision.

    It is trained like a bridge, so what a bridge scores above it comes from the image.
    This is prompt tuning: Lester et al. 2021, arXiv:2104.08691. Differs: tokens start like the Q-Former's queries,
    $\mathcal{N}(0, 0.02^2)$, not from the vocabulary.

    Args:
        vision_dim: channels of one patch, so that it takes the same batches.
        text_dim: channels of one word embedding.
        num_tokens: number of learned tokens, at least 1.
    Raises:
        ValueError: if `num_tokens` is less than 1.
    """

    sees = "nothing"

    def __init__(self, vision_dim: int, text_dim: int, *, num_tokens: int):
        super().__init__()
        if num_tokens < 1:
            raise ValueError(
                f"num_tokens={num_tokens} leaves the blind floor nothing to train: it must be at least 1. "
                "Set bridge.num_tokens to the number of tokens of the bridge it is compared with."
            )
        self.vision_dim, self.text_dim, self.num_tokens = vision_dim, text_dim, num_tokens
        self.prompt = nn.Parameter(0.02 * torch.randn(num_tokens, text_dim))

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Return the prompt once per example. Only the batch size of `patches` is read; `text` is ignored."""
        return self.prompt.expand(len(patches), -1, -1)
