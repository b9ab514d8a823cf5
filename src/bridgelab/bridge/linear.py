"""One linear layer: every patch becomes one token."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Linear(nn.Module):
    r"""The first answer to the question, and the baseline of every comparison.

    $t_i = W x_i + b$ for each patch $x_i$: as many tokens as patches, no exchange between them, no selection.
    Source: LLaVA, Liu et al. 2023, arXiv:2304.08485. Keys there: `model.mm_projector.{weight,bias}`.

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
        """Project each patch; `text` is not read."""
        return self.mm_projector(patches)
