"""Small pictures of a study's images as `data:` URLs, if the images are still where the runs read them.

Paths come from records that anybody may have written: symbolic links are not followed, and the search has an end.
"""

import base64
import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from bridgelab.data.image_files import read_image
from bridgelab.runs.record_schema import read_yaml
from bridgelab.runs.study import Study

MAX_SIDE = 256  # pixels
QUALITY = 82  # of WebP
MAX_DEPTH = 6  # levels of folders that are searched
MAX_ENTRIES = 2_000_000  # files and folders that are searched


def image_root(study: Study) -> Path:
    """Return the folder that the runs read their images from, or else the study's own, in which a record may carry some of them."""
    for run in study.runs:
        path = run.path / "config.yaml"
        if path.exists():
            benchmark = read_yaml(path).get("benchmark")
            root = benchmark.get("root") if isinstance(benchmark, dict) else None
            with contextlib.suppress(OSError):  # a name that no folder can have
                if isinstance(root, str) and root and Path(root).is_dir():
                    return Path(root)
    return study.path


def read_thumbnails(names: Iterable[str], root: Path) -> dict[str, str]:
    """Return small pictures by name; those that are found and can be read.

    Args:
        names: the ends of the images' paths, "folder/file" or longer.
        root: the folder that is searched.
    """
    wanted: dict[str, list[tuple[str, ...]]] = {}  # by the folder that the file is in
    for name in dict.fromkeys(names):
        *parents, file = name.split("/")
        if parents and file not in ("", ".", ".."):
            wanted.setdefault(parents[-1], []).append((*parents, file))
    pictures: dict[str, str] = {}
    for folder in _folders(Path(os.path.abspath(root))):
        for *parents, file in wanted.get(folder.name, ()):
            name = "/".join((*parents, file))
            if name in pictures or list(folder.parts[-len(parents) :]) != parents:
                continue
            with contextlib.suppress(ValueError, OSError):
                if not (folder / file).is_symlink():
                    pictures[name] = _data_url(_thumbnail(folder / file), "webp", quality=QUALITY)
        if len(pictures) == sum(map(len, wanted.values())):
            break
    return pictures


def png_data_url(image: Image.Image) -> str:
    """Return an image as a `data:` URL of a PNG."""
    return _data_url(image, "png", optimize=True)


def _data_url(image: Image.Image, form: str, **options: Any) -> str:
    out = io.BytesIO()
    image.save(out, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(out.getvalue()).decode()}"


def _folders(root: Path) -> Iterator[Path]:
    """Yield a folder and those below it, breadth first, down to `MAX_DEPTH` levels and until `MAX_ENTRIES` entries were listed."""
    level, remaining = [root], MAX_ENTRIES
    for _ in range(MAX_DEPTH):
        yield from level
        below = []
        for folder in level:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    remaining -= 1
                    if remaining < 0:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        below.append(Path(entry.path))
        level = sorted(below)


def _thumbnail(path: Path) -> Image.Image:
    image = Image.fromarray(read_image(path))
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return image
