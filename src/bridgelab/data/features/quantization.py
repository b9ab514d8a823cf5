"""8-bit features: codes of one byte, with a scale for each channel of each image."""

from torch import Tensor

LARGEST = 127  # of a code's magnitude: -128 is not used, so that codes are symmetric


def quantized(patches: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    r"""Round features to codes: $q_{pc} = \mathrm{round}((x_{pc} - \mu_c) / s_c)$ with $s_c = \max_p |x_{pc} - \mu_c| / 127$.

    Source: symmetric per-channel quantization (Krishnamoorthi 2018, arXiv:1806.08342, section 2). Differs: each image has scales
    of its own and is centred by its mean, which the store keeps anyway. A ViT's channels differ in scale by orders of magnitude, so
    one scale for all of an image's channels would leave most of them without a code but 0.

    Args:
        patches: float32 [image, patch, dim].
        mean: of each image's patches, float32 [image, dim].
    Returns:
        int8 [image, patch, dim], and the scales, float32 [image, dim]; 0 for a channel in which all patches are equal.
    """
    centred = patches - mean[:, None]
    scale = centred.abs().amax(1) / LARGEST
    steps = scale.where(scale > 0, 1.0)  # without deviations all codes are 0
    codes = (centred / steps[:, None]).round().clamp(-LARGEST, LARGEST)
    return codes.char(), scale


def dequantized(codes: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
    r"""Return the features of codes, $\mu_c + s_c q_{pc}$, float32 [image, patch, dim].

    Args:
        codes: int8 [image, patch, dim].
        scale: float32 [image, dim].
        mean: float32 [image, dim].
    """
    return codes.float().mul_(scale[:, None]).add_(mean[:, None])
