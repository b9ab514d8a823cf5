"""LLaVA's projector: one linear layer, one token per patch."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Linear(nn.Module):
    r"""$t_i = W x_i + b$ for each patch $x_i$: one token per patch, without exchange between patches or selection.

    The baseline of every comparison.
    Source: LLaVA, Liu et al. 2023, arXiv:2304.08485. Published keys: `model.mm_projector.{weight,bias}`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
    """

    paper = "LLaVA, arXiv:2304.08485"
    code_licence = "Apache-2.0"

    def __init__(self, vision_dim: int, text_dim: int):
        super().__init__()
        self.vision_dim, self.text_dim = vision_dim, text_dim
        self.mm_projector = nn.Linear(vision_dim, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch patch {self.text_dim}"]:
        """Project each patch. `text` is ignored."""
        return self.mm_projector(patches)
