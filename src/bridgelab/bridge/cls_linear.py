"""One linear layer on the ViT's class token: an image in a single token."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class CLSLinear(nn.Module):
    r"""$t = W x_\mathrm{cls} + b$: one token per image, from the class token alone.

    All that the language model learns of the image is what the ViT itself gathers in one vector. Its token-matched control
    is `linear_pooled` with `num_tokens=1`, which reads the mean patch.
    Source: LiMBeR, Merullo et al. 2023, arXiv:2209.15162 (one linear layer between two frozen models), with the class token
    as its only feature as in DePALM's LiMBeR(1), Vallaeys et al. 2024, arXiv:2403.13499. Differs: LiMBeR's own models
    project all features of a CLIP ResNet, NF-ResNet or BEiT.

    The run needs `vision.cls=true`, and so do the runs that it is compared with: features with and without a class token have
    different fingerprints. Bridges that keep places leave it out there, the others read it beside the patches. A class token is
    worth what its ViT was trained to put there: CLIP's through the contrastive loss, the miniature's by the same loss with a
    weight of 0.1. At a layer before the last it was never meant to be read by itself. Occlusion replaces patches behind the ViT, so
    it says nothing of this bridge.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of one image's patches, to find the class token of each of several images.
    """

    needs_cls = True
    tokens_per_image = 1
    paper = "LiMBeR, arXiv:2209.15162"
    code_licence = "MIT"

    def __init__(self, vision_dim: int, text_dim: int, *, grid: Sequence[int]):
        super().__init__()
        self.vision_dim, self.text_dim, self.grid = vision_dim, text_dim, grid
        self.proj = nn.Linear(vision_dim, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch image {self.text_dim}"]:
        """Project each image's class token. `text` is ignored.

        Raises:
            ValueError: if the patches are not those of whole images with a class token.
        """
        rows, columns = self.grid
        if patches.shape[1] % (rows * columns + 1):
            raise ValueError(
                f"{patches.shape[1]} patches are not images of {rows} x {columns} with a class token, which this bridge reads "
                "alone. Set vision.cls=true."
            )
        return self.proj(patches[:, :: rows * columns + 1])
