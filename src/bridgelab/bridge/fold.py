"""A LayerNorm's gain and bias folded into the linear layer that reads it: what is normalised has no gradient of its own then.

Patches come frozen and in numbers; a norm in front of them would have a gradient as large as they are sent back through every
layer that reads them, only for the norm's two vectors.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def standardized(x: Float[Tensor, "*batch dim"], norm: nn.LayerNorm) -> Float[Tensor, "*batch dim"]:
    """What `norm` does to x, without its gain and bias."""
    return F.layer_norm(x, norm.normalized_shape, eps=norm.eps)


def folded(norm: nn.LayerNorm, layer: nn.Linear) -> tuple[Float[Tensor, "out dim"], Float[Tensor, " out"]]:
    r"""Weight and bias that do to `standardized(x, norm)` what `layer` does to `norm(x)`.

    $W(g \odot \hat x + b) + c = (W \odot g) \hat x + (W b + c)$.
    """
    return layer.weight * norm.weight, (layer.weight * norm.bias).sum(-1) + layer.bias
