"""The blind floor: a learned prompt that has seen no image."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Blind(nn.Module):
    r"""What training alone buys: as many learned tokens as a bridge hands over, the same for every image.

    It is trained as a bridge is, so whatever a bridge has over it came from the image.
    This is prompt tuning: Lester et al. 2021, arXiv:2104.08691. Differs: tokens start as the Q-Former's
    queries do, $\mathcal{N}(0, 0.02^2)$, and not from the vocabulary.

    Args:
        vision_dim: channels of one patch; kept so that the same batch is accepted.
        text_dim: channels of one word embedding.
        num_tokens: learned tokens, at least 1.
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
        """Give the prompt once an example; of `patches` only the batch size is read, of `text` nothing."""
        return self.prompt.expand(len(patches), -1, -1)
