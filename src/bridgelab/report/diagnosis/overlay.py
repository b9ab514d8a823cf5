"""Maps of patches laid over an image, as small pictures that a page can hold."""

import base64
import io

import numpy as np
from PIL import Image

from bridgelab.train.overlay import overlaid

SIDE = 120  # pixels


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
