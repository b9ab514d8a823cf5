"""Read image files: pixels that mean the same to every encoder, and clear errors for broken files."""

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

from bridgelab.launch.slots import available_cores
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
THREADS = available_cores()
MISSING = "is missing"
# Recognized by content. Some of the other formats that Pillow knows start a program (EPS starts Ghostscript).
FORMATS: tuple[str, ...] = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
if importlib.util.find_spec("PIL.AvifImagePlugin"):  # of Pillow 11.3
    FORMATS += ("AVIF",)
MOST_PIXELS = (
    89_478_485  # the bound at which Pillow warns; reading takes 11 to 22 bytes per pixel in each of `THREADS`
)
LISTED = 20  # the most broken images that a message names


class UnfitImage(ValueError):
    """A file that is not broken and still can't be used.

    Args:
        path: of the file.
        reason: the problem and the fix, as they follow the path in a message.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"image {path} {reason}.")
        self.reason = reason


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Open a regular file of one of `FORMATS` with at most `MOST_PIXELS`, without reading its pixels.

    The content decides the format, not the file's name.

    Raises:
        FileNotFoundError: if the file is missing.
        UnfitImage: if it is not a regular file, too large, or a Git LFS pointer.
        ValueError: if it is broken or not an image, also if that shows only while it is open.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would block
            raise UnfitImage(path, "is not a regular file: remove it, or put the image in its place")
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
    """Read an image as uint8 [height, width, 3], upright as its EXIF says, on white where it is transparent.

    Of 16 bits the upper 8 are kept.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, no image, or as `open_image` says.
    """
    with open_image(path) as opened:
        size = opened.size
        opened.load()  # a TIFF is rotated now, and some formats have their EXIF at the end
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
    """Return the SHA-256 of a file.

    Raises:
        FileNotFoundError: if it is missing.
        UnfitImage: if it is not a regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnfitImage(path, "is not a regular file: remove it, or put the image in its place")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None


def missing(paths: Iterable[str]) -> dict[str, str]:
    """Return the problem of each path that does not exist, in order. Each folder is listed once instead of a stat per path."""
    names: dict[str, set[str]] = {}
    problems = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in names:
            there = folder or os.curdir
            names[folder] = set(os.listdir(there)) if os.path.isdir(there) else set()
        if name not in names[folder]:
            problems[path] = MISSING
    return problems


def try_each(
    call: Callable[[str], T], paths: Iterable[str], label: str
) -> tuple[dict[str, T], dict[str, str]]:
    """Call a function of this module on each path, in threads.

    Args:
        call: the function.
        paths: of images.
        label: of the progress.
    Returns:
        What it returned for each path, and the problems of the paths that it refused.
    """
    paths = list(paths)
    results: dict[str, T] = {}
    problems: dict[str, str] = {}

    def call_or_error(path: str) -> T | Exception:
        try:
            return call(path)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool, Progress(label, len(paths)) as progress:
        for done, (path, result) in enumerate(
            zip(paths, pool.map(call_or_error, paths), strict=True), start=1
        ):
            if isinstance(result, Exception):
                problems[path] = _reason(result)
            else:
                results[path] = result
            progress.to(done)
    return results, problems


def refuse_broken(problems: Mapping[str, str], images: int) -> None:
    """Refuse broken images.

    Args:
        problems: of images, by path.
        images: the number of images that were checked.
    Raises:
        ValueError: with a list, if there are problems.
    """
    if problems:
        raise ValueError(
            f"{len(problems)} of {images} images can't be used:\n{list_problems(problems)}\n"
            "Each example needs its images. Unpack or write these again, or set data.on_error=skip to leave out "
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
                f"{lost[0]}, which {broken[lost[0]]}: data.max_skipped={most} of a split may be left out. Get the missing images, "
                "or raise data.max_skipped if the rest is what you mean to train and test on."
            )


def list_problems(problems: Mapping[str, str]) -> str:
    """Return one line per problem, for the first `LISTED` of them."""
    lines = [f"  {path} {problem}" for path, problem in list(problems.items())[:LISTED]]
    more = len(problems) - len(lines)
    return "\n".join(lines + [f"  and {more} more"] * bool(more))


def _missing(path: str | Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"image {path} is missing: each example needs its image. "
        "Unpack or write the images again, or point benchmark.root at the complete data."
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
    except Exception:  # a broken EXIF block rotates nothing, as in every viewer
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert grey of 16 bits to 8: Pillow's own conversion would clip everything above 255."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"mode {image.mode} with values from {values.min()} to {values.max()}: which is white?"
        )
    grey = (values >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)
