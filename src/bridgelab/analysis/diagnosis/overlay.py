"""Maps of patches laid over an image, as small pictures that a page can hold."""

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

SIDE = 120  # pixels
OPACITY = 0.85


def over_image(picture: str, values: np.ndarray, *, signed: bool) -> str:
    """The image with a map over it, as a `data:` address.

    Args:
        picture: the image as a `data:` address of a PNG.
        values: of its patches [row, column].
        signed: values below 0 are blue and above it red; else the largest is dark violet. 0 is clear. Told apart by colour-blind
            readers, and in print.
    """
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as opened:
        image = np.asarray(opened.convert("RGB").resize((SIDE, SIDE)), dtype=float)
    most = float(np.abs(values).max()) or 1.0
    if signed:
        tint = colormaps["RdBu_r"](0.5 + 0.5 * values / most)[..., :3]
    else:
        tint = colormaps["Purples"](0.3 + 0.7 * values / most)[..., :3]
    opacity = OPACITY * np.abs(values) / most  # where there is nothing the image is seen as it is
    row, column = (np.arange(SIDE) * n // SIDE for n in values.shape)
    large = (255 * tint)[row][:, column]
    share = opacity[row][:, column][..., None]
    mixed = np.clip((1 - share) * image + share * large, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(mixed).quantize(128).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
