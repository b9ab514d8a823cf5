"""Maps of patches laid over an image."""

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image

from bridgelab.report.thumbnails import png_data_url

SIDE = 120  # pixels
OPACITY = 0.85  # of the largest value
PALETTE = 128  # colours of a small picture


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    values: Float[np.ndarray, "row column"],
    *,
    signed: bool,
    most: float | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the image with a map over it. Its colours are safe for colour-blind readers, and in print.

    Args:
        image: RGB.
        values: one per patch.
        signed: if true, values below 0 are blue and those above it red; else values are violet, the largest the darkest. 0 is clear.
        most: the value of the deepest colour; the largest absolute value by default.
    """
    most = most or float(np.abs(values).max()) or 1.0
    if signed:
        tint = colormaps["RdBu_r"](0.5 + 0.5 * values / most)[..., :3]
    else:
        tint = colormaps["Purples"](0.3 + 0.7 * values / most)[..., :3]
    opacity = OPACITY * np.abs(values) / most
    row, column = (np.arange(side) * n // side for side, n in zip(image.shape, values.shape, strict=False))
    alpha = opacity[row][:, column][..., None]
    return np.clip((1 - alpha) * image + alpha * 255 * tint[row][:, column], 0, 255).astype(np.uint8)


def overlay_data_url(picture: str, values: np.ndarray, *, signed: bool) -> str:
    """Return an image with a map over it as a `data:` URL, `SIDE` pixels wide and high.

    Args:
        picture: the image as a `data:` URL.
        values: one per patch [row, column].
        signed: as in `overlay`.
    """
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as file:
        image = np.asarray(file.convert("RGB").resize((SIDE, SIDE)))
    return png_data_url(Image.fromarray(overlay(image, values, signed=signed)).quantize(PALETTE))
