"""A LayerNorm's gain and bias folded into the linear layer that reads it.

Patches are frozen and many. A norm in front of them would receive a gradient as large as the patches from every layer
that reads them, only to train two vectors. Folding the vectors into the layer's weights avoids that.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def standardize(x: Float[Tensor, "*batch dim"], norm: nn.LayerNorm) -> Float[Tensor, "*batch dim"]:
    """Apply `norm` without its gain and bias."""
    return F.layer_norm(x, norm.normalized_shape, eps=norm.eps)


def fold_norm(norm: nn.LayerNorm, layer: nn.Linear) -> tuple[Float[Tensor, "out dim"], Float[Tensor, " out"]]:
    r"""Return the weight and bias that map `standardize(x, norm)` to `layer(norm(x))`.

    $W(g \odot \hat x + b) + c = (W \odot g) \hat x + (W b + c)$.
    """
    return layer.weight * norm.weight, (layer.weight * norm.bias).sum(-1) + layer.bias
