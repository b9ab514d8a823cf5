"""A run's moments and scale folded into its bridge's weights, for implementations that have neither."""

from collections.abc import Mapping

from torch import Tensor

MOMENTS = ("mean", "std", "scale")
ENDS = {  # a tensor that only this bridge has, its first layer and its last
    "mm_projector.weight": ("mm_projector", "mm_projector"),
    "mm_projector.0.weight": ("mm_projector.0", "mm_projector.2"),
}
LAST = (  # what makes the tokens of a bridge with a norm in front
    "language_projection.weight",
    "language_projection.bias",
    "perceiver_resampler.norm.weight",
)
WAYS = "Evaluate the run itself ('bridgelab evaluate RUN'), or publish all that it reads by ('bridgelab push RUN ORG/NAME')."


def fold_moments(tensors: Mapping[str, Tensor], extras: Mapping[str, Tensor], form: str) -> dict[str, Tensor]:
    r"""Fold a run's patch moments and output scale into its bridge's weights, so that it maps raw patches to the same tokens.

    $s f((x - \mu) / \sigma)$ is again a projector of the same shape: with $W$ and $b$ of the first layer,
    $W (x - \mu) / \sigma + b = (W / \sigma) x + (b - W (\mu / \sigma))$, and $s$ multiplies weight and bias of the
    last. Moments can't be folded behind a norm (Q-Former, resampler), which normalizes raw and standardized patches differently, nor
    into a first layer without a bias, which can't hold $\mu$. A run that goes on from a published bridge does not standardize, so it
    has $s$ alone, which the last layer takes up, or Idefics2's last norm.

    Args:
        tensors: the bridge's, by our names.
        extras: what the run holds besides, by `BridgedModel`'s names: moments and scale.
        form: name of the format that they are for.
    Raises:
        ValueError: if the bridge can't take them up, or the run has trained more than a bridge.
    """
    if more := sorted({name.partition(".")[0] for name in extras} - {*MOMENTS}):
        raise ValueError(
            f"the run also trained {', '.join(more)}, and the format {form!r} holds a bridge alone: without them it would compute "
            f"something else. {WAYS}"
        )
    mean, std, scale = (extras[name].double() for name in MOMENTS)
    standardized = bool(mean.any() or (std != 1).any())
    if not standardized and scale == 1:
        return dict(tensors)
    ends = next((layers for name, layers in ENDS.items() if name in tensors), None)
    last = [f"{ends[1]}.weight", f"{ends[1]}.bias"] if ends else [name for name in LAST if name in tensors]
    if ends is None and (standardized or not last):
        raise ValueError(
            "the run's bridge reads patches that are standardized by its training images' mean and deviation: the format "
            f"{form!r} reads them as they are, and only linear and mlp can take mean and deviation into their weights. {WAYS}"
        )
    folded = {name: value.double() for name, value in tensors.items()}
    if ends is not None:
        weight, bias = f"{ends[0]}.weight", f"{ends[0]}.bias"
        folded[bias] = folded[bias] - folded[weight] @ (mean / std).expand(folded[weight].shape[1])
        folded[weight] = folded[weight] / std
    for name in last:
        folded[name] = folded[name] * scale
    return {name: value.to(tensors[name].dtype) for name, value in folded.items()}
