"""LLaVA-1.5's projector: two linear layers with a GELU between, one token per patch."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class MLP(nn.Module):
    r"""$t_i = W_2 \, \mathrm{GELU}(W_1 x_i + b_1) + b_2$ for each patch $x_i$, with the exact (erf) GELU.

    As the linear bridge, it has one token per patch and no exchange between patches.
    Source: LLaVA-1.5, Liu et al. 2023, arXiv:2310.03744. Published keys: `model.mm_projector.{0,2}.{weight,bias}`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        hidden_dim: width between the layers; None means `text_dim`, as in LLaVA-1.5.
    Raises:
        ValueError: if `hidden_dim` is less than 1.
    """

    sized_by = "hidden_dim"
    paper = "LLaVA-1.5, arXiv:2310.03744"
    code_licence = "Apache-2.0"

    def __init__(self, vision_dim: int, text_dim: int, *, hidden_dim: int | None = None):
        super().__init__()
        if hidden_dim is not None and hidden_dim < 1:
            raise ValueError(
                f"hidden_dim={hidden_dim} leaves the MLP no hidden unit: it must be at least 1. "
                "Set bridge.hidden_dim to a width, or to null for text_dim."
            )
        self.vision_dim, self.text_dim = vision_dim, text_dim
        self.hidden_dim = text_dim if hidden_dim is None else hidden_dim
        self.mm_projector = nn.Sequential(
            nn.Linear(vision_dim, self.hidden_dim), nn.GELU(), nn.Linear(self.hidden_dim, text_dim)
        )

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch patch {self.text_dim}"]:
        """Project each patch. `text` is ignored."""
        return self.mm_projector(patches)
