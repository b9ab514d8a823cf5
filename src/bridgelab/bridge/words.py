"""The words ceiling: the scene in the T5's word embeddings instead of patches."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

FORMS = ("as_given", "patch_like")


class Words(nn.Module):
    r"""The frozen T5's embeddings of the scene in words: what it can do if nothing is lost between scene and language.

    Its "patches" are these embeddings, which pass unchanged behind `num_tokens` learned tokens, started as
    $\mathcal{N}(0, 0.02^2)$. With 0 it is the plain ceiling, which has nothing to train. With as many as `Blind` it is
    the fair ceiling, since a bridge can teach the T5 the task too while it learns to see.

    Args:
        vision_dim: channels of one embedded word of the scene; must equal `text_dim`.
        text_dim: channels of one word embedding.
        num_tokens: number of learned tokens before the words; 0 for the plain ceiling.
        form: `as_given`, each object once; or `patch_like`, objects in raster order with repeats, as a linear bridge
            outputs them (`world.layout`). A T5 may read one of the two better.
    Raises:
        ValueError: if `vision_dim` is not `text_dim`, `num_tokens` is negative, or there is no such form.
    """

    sees = "words"

    def __init__(self, vision_dim: int, text_dim: int, *, num_tokens: int, form: str = "as_given"):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form={form!r}: must be one of {', '.join(FORMS)}. Set bridge.form.")
        if vision_dim != text_dim:
            raise ValueError(
                f"vision_dim={vision_dim} differs from text_dim={text_dim}: the words ceiling reads the "
                "scene as the T5's own word embeddings. Give it text.dim for both widths."
            )
        if num_tokens < 0:
            raise ValueError(
                f"num_tokens={num_tokens} is negative. Set bridge.num_tokens to 0 for the plain ceiling, "
                "or to the number of tokens of the blind floor for the fair one."
            )
        self.vision_dim, self.text_dim, self.num_tokens = vision_dim, text_dim, num_tokens
        # None, not an empty tensor: optimizers and DDP must see a bridge without parameters.
        self.prompt = nn.Parameter(0.02 * torch.randn(num_tokens, text_dim)) if num_tokens else None

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens}+patch {self.text_dim}"]:
        """Put the learned tokens before the scene's words. `text` is ignored."""
        if self.prompt is None:
            return patches
        return torch.cat([self.prompt.expand(len(patches), -1, -1), patches], dim=1)
