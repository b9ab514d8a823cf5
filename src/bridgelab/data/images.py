"""Reading image files: one meaning of a pixel for every encoder, and a clear word about a broken file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError


def read_image(path: str | Path) -> np.ndarray:
    """One image as uint8 [height, width, 3]; what is transparent is laid on white.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken or no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                return np.array(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"image {path} is missing: each example needs its image. "
            "Unpack or write the images again, or point benchmark.root at the whole data."
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"image {path} can't be read ({type(error).__name__}: {error}): each file must be a whole image. "
            "Unpack or write that file again."
        ) from error


def file_hashes(paths: Sequence[str | Path]) -> list[str]:
    """The SHA-256 of each file.

    Raises:
        FileNotFoundError: if one is missing.
    """
    hashes = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
        except FileNotFoundError:
            read_image(path)  # says which and what to do
            raise
    return hashes
