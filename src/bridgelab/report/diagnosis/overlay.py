"""Maps of patches laid over an image, and as small pictures that a page can hold."""

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image

SIDE = 120  # pixels
OPACITY = 0.85  # of the largest value


def overlaid(
    image: UInt8[np.ndarray, "height width 3"],
    values: Float[np.ndarray, "row column"],
    *,
    signed: bool,
    most: float | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """The image with a map over it.

    Args:
        image: RGB.
        values: of its patches.
        signed: values below 0 are blue and above it red; else the largest is dark violet. 0 is clear. Told apart by colour-blind
            readers, and in print.
        most: the value of the deepest tint; that of the largest by default.
    """
    most = most or float(np.abs(values).max()) or 1.0
    if signed:
        tint = colormaps["RdBu_r"](0.5 + 0.5 * values / most)[..., :3]
    else:
        tint = colormaps["Purples"](0.3 + 0.7 * values / most)[..., :3]
    opacity = OPACITY * np.abs(values) / most  # where there is nothing the image is seen as it is
    row, column = (np.arange(side) * n // side for side, n in zip(image.shape, values.shape, strict=False))
    share = opacity[row][:, column][..., None]
    return np.clip((1 - share) * image + share * 255 * tint[row][:, column], 0, 255).astype(np.uint8)


def over_image(picture: str, values: np.ndarray, *, signed: bool) -> str:
    """The image with a map over it, as a `data:` address.

    Args:
        picture: the image as a `data:` address of a PNG.
        values: of its patches [row, column].
        signed: as in `overlaid`.
    """
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as opened:
        image = np.asarray(opened.convert("RGB").resize((SIDE, SIDE)))
    out = io.BytesIO()
    Image.fromarray(overlaid(image, values, signed=signed)).quantize(128).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
