"""Image files for a dry run: copies of some that are here, or noise."""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

PIXELS = (640, 480)  # of noise


def noise() -> bytes:
    """Return a JPEG file of noise in the size of a photograph."""
    file = io.BytesIO()
    Image.effect_noise(PIXELS, 50).convert("RGB").save(file, "jpeg", quality=90)
    return file.getvalue()


def write_images(folder: Path, images: Sequence[bytes], number: int) -> list[str]:
    """Write this many image files, with these contents in turn, and return their paths.

    No two are alike, since the feature store encodes equal files once: decoders ignore what follows the image.
    """
    paths = [folder / str(index) for index in range(number)]
    for index, (path, content) in enumerate(zip(paths, itertools.cycle(images), strict=False)):
        path.write_bytes(content + b" %d" % index)
    return list(map(str, paths))
