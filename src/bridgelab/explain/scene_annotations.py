"""Where on the grid of patches what is: the objects that a question's program visits, the other objects, the background."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bridgelab.benchmark.clevr import Clevr, function
from bridgelab.benchmark.example import Example
from bridgelab.data.images import open_image
from bridgelab.world.questions.program import run

LEAST = 0.05  # share of a patch's pixels from which on it shows an object
PARTS = ("visited", "others", "background")
# CLEVR's camera (`base_scene.blend`: a lens of 35 mm before 32 mm of sensor), from a radius at a depth to pixels.
FOCAL = 35 / 32
RADIUS = {"small": 0.35, "large": 0.7}


class Places:
    """Scenes and programs of a split in CLEVR's layout.

    Objects are seen in `masks/<split>/` (the built-in world writes them: 0 the ground, k + 1 object k). CLEVR as released has
    none: there an object is the disc of its size around its `pixel_coords`, nearer ones before farther ones.

    Args:
        benchmark: of the built-in world, or CLEVR.
        split: one that is there.
    Raises:
        ValueError: if the benchmark has no scenes and programs in CLEVR's layout.
    """

    def __init__(self, benchmark: Any, split: str):
        if not isinstance(benchmark, Clevr):
            raise ValueError(
                f"benchmark {getattr(benchmark, 'name', benchmark)} has no scenes and programs in CLEVR's layout, which say where "
                "the objects are and which of them a question visits. Take benchmark=world or benchmark=clevr."
            )
        self.root, self.part = benchmark.root, benchmark.part(split)
        scenes = _read(self.root / "scenes" / f"CLEVR_{self.part}_scenes.json")["scenes"]
        self._scenes = {scene["image_filename"]: scene for scene in scenes}
        self._questions: list[dict[str, Any]] = _read(
            self.root / "questions" / f"CLEVR_{self.part}_questions.json"
        )["questions"]
        self.cover = cache(self._cover)

    def objects(self, image: str) -> list[dict[str, Any]]:
        """The objects of an image, as the scenes file has them."""
        return self._scenes[Path(image).name]["objects"]

    def size(self, image: str) -> tuple[int, int]:
        """Height and width in pixels of an image as its scene was annotated."""
        with open_image(image) as opened:
            return opened.height, opened.width

    def visited(self, example: Example) -> frozenset[int]:
        """The objects that a question's program picks out: of every step that yields objects, save `scene` and those whose
        objects a `filter` narrows further.

        Raises:
            ValueError: if the example is no question of this split.
        """
        number = example.id.removeprefix(f"{self.part}-question-")
        if not number.isdecimal() or self._questions[int(number)]["question"] not in example.prompt:
            raise ValueError(
                f"{example.id} is no question of {self.part}: only questions have programs. Give examples of the kind 'answer'."
            )
        asked = self._questions[int(number)]
        scene = self._scenes[asked["image_filename"]]
        program = [step | {"function": function(step)} for step in asked["program"]]
        narrowed = {k for step in program if step["function"].startswith("filter_") for k in step["inputs"]}
        found: set[int] = set()
        for k, (step, value) in enumerate(zip(program, run(program, scene), strict=True)):
            counts = step["function"] == "count"
            if step["function"] == "scene" or k in narrowed or counts or isinstance(value, bool | str):
                continue
            found |= {value} if isinstance(value, int) else set(value)
        return frozenset(found)

    def parts(self, example: Example, grid: tuple[int, int]) -> np.ndarray:
        """bool [part, patch]: which patches show visited objects, which other objects alone, and which none, in `PARTS`' order.

        Each patch belongs to one part. A patch shows an object that covers `LEAST` of it, and each object is shown by a patch.
        """
        visited = self.visited(example)
        shown = shows(self.cover(example.images[0]), len(self.objects(example.images[0])), grid)
        of_visited = shown[sorted(visited)].any(0)
        of_any = shown.any(0)
        return np.stack([of_visited, of_any & ~of_visited, ~of_any])

    def _cover(self, image: str) -> np.ndarray:
        mask = self.root / "masks" / self.part / Path(image).name
        if mask.exists():
            with open_image(mask) as opened:
                return np.asarray(opened).astype(np.int64) - 1
        with open_image(image) as opened:
            width, height = opened.size
        return discs(self.objects(image), height, width)


def _read(path: Path) -> Any:
    return orjson.loads(path.read_bytes())


def discs(objects: Sequence[dict[str, Any]], height: int, width: int) -> np.ndarray:
    """int [height, width]: the object whose disc is seen at each pixel, −1 for none."""
    row, column = np.mgrid[:height, :width]
    cover = np.full((height, width), -1)
    for k in sorted(range(len(objects)), key=lambda k: -objects[k]["pixel_coords"][2]):
        x, y, depth = objects[k]["pixel_coords"]
        radius = FOCAL * width * RADIUS[objects[k]["size"]] / depth
        cover[(row + 0.5 - y) ** 2 + (column + 0.5 - x) ** 2 <= radius**2] = k
    return cover


def covered(cover: np.ndarray, objects: int, grid: tuple[int, int]) -> np.ndarray:
    """float [object, patch]: the share of each patch's pixels that an object covers.

    Args:
        cover: int [height, width], the object at each pixel, −1 for none; it may be of any size.
        objects: how many there are.
        grid: rows and columns of patches.
    """
    height, width = cover.shape
    row, column = np.arange(height) * grid[0] // height, np.arange(width) * grid[1] // width
    patch = (row[:, None] * grid[1] + column).ravel()
    patches = grid[0] * grid[1]
    counts = np.bincount((cover.ravel() + 1) * patches + patch, minlength=(objects + 1) * patches)
    counts = counts.reshape(objects + 1, patches)
    return counts[1:] / counts.sum(0)


def shows(cover: np.ndarray, objects: int, grid: tuple[int, int]) -> np.ndarray:
    """bool [object, patch]: whether a patch shows an object: `LEAST` of its pixels, or more of it than any other patch."""
    share = covered(cover, objects, grid)
    most = (share == share.max(1, keepdims=True)) & (share > 0)
    return (share >= LEAST) | most
