"""Scenes and programs in CLEVR's layout: where objects are, and which of them a question visits."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bridgelab.benchmark.clevr import Clevr, function
from bridgelab.benchmark.example import Example
from bridgelab.data.image_files import open_image
from bridgelab.explain.patch_coverage import disc_mask, patches_of_objects
from bridgelab.world.questions.program import run

REGIONS = ("visited", "others", "background")


class SceneAnnotations:
    """The scenes and programs of one split.

    Masks of objects are read from `masks/<split>/`, as the built-in world writes them (0 is the ground, k + 1 object k). The released
    CLEVR has none: there, objects are taken for discs (`disc_mask`).

    Args:
        benchmark: the built-in world or CLEVR.
        split: one of its splits.
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
        self.mask = cache(self._mask)

    def objects(self, image: str) -> list[dict[str, Any]]:
        """Return the objects of an image, as the scenes file has them."""
        return self._scenes[Path(image).name]["objects"]

    def size(self, image: str) -> tuple[int, int]:
        """Return height and width of an image in pixels, to which the scene's coordinates refer."""
        with open_image(image) as opened:
            return opened.height, opened.width

    def visited(self, example: Example) -> frozenset[int]:
        """Return the objects that a question's program picks out.

        These are the results of every step that yields objects, except `scene` and steps whose result a `filter` narrows further.

        Raises:
            ValueError: if the example is not a question of this split.
        """
        number = example.id.removeprefix(f"{self.part}-question-")
        if not number.isdecimal() or self._questions[int(number)]["question"] not in example.prompt:
            raise ValueError(
                f"{example.id} is not a question of {self.part}: only questions have programs. Give examples of the kind 'answer'."
            )
        question = self._questions[int(number)]
        scene = self._scenes[question["image_filename"]]
        program = [step | {"function": function(step)} for step in question["program"]]
        narrowed = {k for step in program if step["function"].startswith("filter_") for k in step["inputs"]}
        objects: set[int] = set()
        for k, (step, value) in enumerate(zip(program, run(program, scene), strict=True)):
            is_count = step["function"] == "count"
            if step["function"] == "scene" or k in narrowed or is_count or isinstance(value, bool | str):
                continue
            objects |= {value} if isinstance(value, int) else set(value)
        return frozenset(objects)

    def regions(self, example: Example, grid: tuple[int, int]) -> np.ndarray:
        """Return which patches show visited objects, which only other objects, and which none, bool [region, patch].

        Regions are in the order of `REGIONS`; each patch belongs to one.
        """
        image = example.images[0]
        shown = patches_of_objects(self.mask(image), len(self.objects(image)), grid)
        of_visited = shown[sorted(self.visited(example))].any(0)
        of_any = shown.any(0)
        return np.stack([of_visited, of_any & ~of_visited, ~of_any])

    def _mask(self, image: str) -> np.ndarray:
        """Return the object at each pixel of an image, −1 for none, int [height, width]."""
        path = self.root / "masks" / self.part / Path(image).name
        if path.exists():
            with open_image(path) as opened:
                return np.asarray(opened).astype(np.int64) - 1
        return disc_mask(self.objects(image), *self.size(image))


def _read(path: Path) -> Any:
    return orjson.loads(path.read_bytes())
