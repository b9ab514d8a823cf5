"""Reading image files: one meaning of a pixel for every encoder, and a clear word about a broken file."""

import hashlib
import importlib.util
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from bridgelab.lfs_pointer import FETCH, is_pointer
from bridgelab.progress import Progress

T = TypeVar("T")
ORIENTATION = 0x0112  # EXIF's tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MISSING = "is missing"
# By content; of the others that Pillow knows some start a program (EPS Ghostscript).
FORMATS: tuple[str, ...] = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
if importlib.util.find_spec("PIL.AvifImagePlugin"):  # of Pillow 11.3
    FORMATS += ("AVIF",)
MOST_PIXELS = 89_478_485  # Pillow's own bound, where it warns; reading takes 11 to 22 bytes a pixel, in each of `THREADS`
LISTED = 20  # broken images that a message names


class UnfitImage(ValueError):
    """A file that is not broken, and can't be used all the same.

    Args:
        path: of the file.
        reason: what is the matter and what to do, to be read after the path.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"image {path} {reason}.")
        self.reason = reason


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """A regular file as Pillow opens it, of one of `FORMATS` and at most `MOST_PIXELS`; its pixels are not read yet.

    The content says what kind of file it is, not the name.

    Raises:
        FileNotFoundError: if the file is missing.
        UnfitImage: if it is no regular file, too large, or a Git LFS pointer.
        ValueError: if it is broken or no image, whether that is found now or while it is open.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would be waited for
            raise UnfitImage(path, "is no regular file: remove it, or put the image in its place")
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            yield opened
    except FileNotFoundError:
        raise _missing(path) from None
    except UnfitImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"{MOST_PIXELS / 1e6:.0f} megapixels"
        raise UnfitImage(path, f"has more than {most}, the most that are read: scale it down") from None
    except Exception as error:  # Pillow's decoders raise whatever their parsers do
        if is_pointer(path):
            raise UnfitImage(path, f"is {FETCH}") from None
        raise ValueError(
            f"image {path} can't be read ({type(error).__name__}: {error}): each file must be a whole image. "
            "Unpack or write that file again."
        ) from error


def read_image(path: str | Path) -> np.ndarray:
    """One image as uint8 [height, width, 3], upright as its EXIF says; what is transparent is laid on white.

    Of 16 bits the upper 8 are kept.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, no image, or as `open_image` says.
    """
    with open_image(path) as opened:
        size = opened.size
        opened.load()  # a TIFF turns itself now, and some kinds have their EXIF at the end
        if opened.format == "TIFF" and opened.size != size:
            raise ValueError("Pillow garbles an uncompressed TIFF that lies on its side")
        return to_rgb(opened)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Return a PIL image as uint8 [height, width, 3], upright as its EXIF says, on white where it is transparent.

    Of 16 bits keep the upper 8.
    """
    image = _upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def check_image(path: str | Path) -> None:
    """Read an image to its end.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken or no image.
    """
    read_image(path)


def file_hash(path: str | Path) -> str:
    """The SHA-256 of a file.

    Raises:
        FileNotFoundError: if it is missing.
        UnfitImage: if it is no regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnfitImage(path, "is no regular file: remove it, or put the image in its place")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None


def missing(paths: Iterable[str]) -> dict[str, str]:
    """Those paths that are not there, in order, with the word for it; listing each folder once spares a million calls of stat."""
    there: dict[str, set[str]] = {}
    gone = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in there:
            there[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in there[folder]:
            gone[path] = MISSING
    return gone


def tried(call: Callable[[str], T], paths: Iterable[str], label: str) -> tuple[dict[str, T], dict[str, str]]:
    """What a function of this module gives for each path, and what is wrong with those that it refuses.

    Args:
        label: of the progress, where this takes long.
    """
    paths = list(paths)
    good: dict[str, T] = {}
    problems: dict[str, str] = {}

    def one(path: str) -> T | Exception:
        try:
            return call(path)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool, Progress(label, len(paths)) as progress:
        for done, (path, found) in enumerate(zip(paths, pool.map(one, paths), strict=True), start=1):
            if isinstance(found, Exception):
                problems[path] = _reason(found)
            else:
                good[path] = found
            progress.to(done)
    return good, problems


def refuse_broken(problems: Mapping[str, str], images: int) -> None:
    """Refuse images with something wrong.

    Args:
        problems: what is wrong, by path, as `tried` tells it.
        images: how many were looked at.
    Raises:
        ValueError: with a list, if there are any.
    """
    if problems:
        raise ValueError(
            f"{len(problems)} of {images} images can't be used:\n{listed(problems)}\n"
            "Each example needs its images, whole. Unpack or write these again, or set data.on_error=skip to leave out "
            "the examples that need them."
        )


def refuse_too_many(broken: Mapping[str, str], of_split: Mapping[str, Sequence[str]], most: float) -> None:
    """Refuse to leave out so many of a split's images that the rest is another data set.

    Args:
        broken: the problem of each broken image, by path.
        of_split: each split's images.
        most: share of a split's images that may be left out.
    Raises:
        ValueError: if more than that are broken, with the split and the share.
    """
    for split, images in of_split.items():
        lost = [path for path in images if path in broken]
        if len(lost) > most * len(images):
            raise ValueError(
                f"{len(lost)} of {len(images)} images of {split} ({100 * len(lost) / len(images):.0f} %) can't be used, such as "
                f"{lost[0]}, which {broken[lost[0]]}: data.max_skipped={most} of a split may be left out. Get the images whole, "
                "or raise data.max_skipped if the rest is what you mean to train and test on."
            )


def listed(problems: Mapping[str, str]) -> str:
    """One line an image, the first of many."""
    lines = [f"  {path} {problem}" for path, problem in list(problems.items())[:LISTED]]
    more = len(problems) - len(lines)
    return "\n".join(lines + [f"  and {more} more"] * bool(more))


def _missing(path: str | Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"image {path} is missing: each example needs its image. "
        "Unpack or write the images again, or point benchmark.root at the whole data."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return MISSING
    if isinstance(error, UnfitImage):
        return error.reason
    cause = error.__cause__ or error
    return f"can't be read ({type(cause).__name__}: {cause})"


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a broken EXIF block turns nothing, as in every viewer
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8: Pillow's own conversion would cut off all above 255."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"mode {image.mode} with values from {values.min()} to {values.max()}: which is white?"
        )
    grey = (values >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)
