"""The built-in world as a benchmark in CLEVR's layout, drawn on first use and kept.

Metric: as CLEVR's: accuracy, by type of question and by family; for captions CIDEr-D and the share of attributes that are
right. Tags: CLEVR's. Licence: Apache-2.0, as this program's. Size: 6,000 / 500 / 1,000 images by default.

Layout of CLEVR v1.0, with captions. A split is complete once `<root>/<split>.done` exists. That file holds the arguments that
the split was drawn with. A lock lets one of several jobs draw it while the others wait.
"""

import fcntl
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.atomic import write_text
from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.example import Example, choose
from bridgelab.world.distribution_shift import changed_fields, parse_split
from bridgelab.world.write import GENERATOR, write_world

log = logging.getLogger(__name__)

IMAGES = MappingProxyType({"train": 6000, "val": 500, "test": 1000})


class World(Clevr):
    """Questions and captions about scenes of the built-in world.

    Args:
        root: the folder that keeps the world. Missing splits are drawn into it.
        images: number of images by split. A split's name may end in a dash and a distribution shift (`world.distribution_shift`):
            `test-clutter` has the scenes and questions of `test`, drawn with clutter. It has as many images as `test` if it is not named.
        seed: seed of scenes and questions; no two splits share a random stream.
        processes: number of drawing processes; the result does not depend on it.
        questions_per_image: largest number of questions per image.
        objects: smallest and largest number of objects in a scene.
        size: side of an image in pixels.
        shift: the shift of the splits whose names have none, such as `cogent_a`.
        name: the benchmark's name in the record.
        question_prompt: as in `Clevr`.
        caption_prompt: as in `Clevr`.
    Raises:
        ValueError: if a split has no image or an unknown shift, or a prompt lacks its placeholder.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        images: Mapping[str, int] = IMAGES,
        seed: int = 0,
        processes: int = 2,
        questions_per_image: int = 10,
        objects: Sequence[int] = (3, 10),
        size: int = 96,
        shift: str | None = None,
        name: str = "world",
        question_prompt: str = "{question}",
        caption_prompt: str = "{prompt}",
    ):
        super().__init__(root, name=name, question_prompt=question_prompt, caption_prompt=caption_prompt)
        self.shift = shift
        for split, number in images.items():
            parse_split(self.part(split))
            if number < 1:
                raise ValueError(
                    f"images.{split}={number}: must be at least 1. Set benchmark.images.{split}."
                )
        self.images = dict(images)
        self.seed = seed
        self.processes = processes
        self.questions_per_image = questions_per_image
        self.objects = (objects[0], objects[1])
        self.size = size

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `images` names, whether they are drawn yet or not."""
        return tuple(self.images)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Questions and captions."""
        return ("answer", "caption")

    def part(self, split: str) -> str:
        """Return a split's name with its shift, which its files are named after."""
        return split if self.shift is None or "-" in split else f"{split}-{self.shift}"

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of a split, drawing it first if it is missing. With a shift they have the tag `shift`.

        Raises:
            ValueError: if there is no such split or kind, or the existing split was drawn with other arguments.
        """
        self.make(split)
        part = self.part(split)
        examples = self.read(part, kind)
        _, dash, shift = part.partition("-")
        return [replace(e, tags={**e.tags, "shift": shift}) for e in examples] if dash else examples

    def make(self, split: str) -> None:
        """Draw a split unless it exists. One of several processes draws it, and the others wait.

        Raises:
            ValueError: if there is no such split, or the existing one was drawn with other arguments.
        """
        part = self.part(split)
        base, _, _ = split.partition("-")
        number = self.images.get(split) or self.images[choose(base, self.splits, "split")]
        _, shift = parse_split(part)
        arguments = {
            "generator": GENERATOR,
            "images": number,
            "seed": self.seed,
            "questions_per_image": self.questions_per_image,
            "objects": list(shift.objects or self.objects),
            "size": round(self.size * shift.pixels),
            **({"shift": changed_fields(shift)} if changed_fields(shift) else {}),
        }
        done = self.root / f"{part}.done"
        if not done.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            with _locked(self.root / f"{part}.lock"):
                if not done.exists():
                    self._refuse_another_world(part, arguments)
                    write_world(
                        self.root,
                        part,
                        number,
                        self.seed,
                        self.processes,
                        questions_per_image=self.questions_per_image,
                        objects=self.objects,
                        size=self.size,
                    )
                    write_text(done, json.dumps(arguments))
        _refuse_other_arguments(done, json.loads(done.read_text()), arguments)

    def _refuse_another_world(self, part: str, arguments: dict[str, Any]) -> None:
        """Refuse to overwrite a part without a `.done` file (interrupted, or written by hand) of another world."""
        path = self._file("questions", part)
        if path.exists():
            info = json.loads(path.read_text())["info"]
            _refuse_other_arguments(path, info, {key: arguments[key] for key in arguments if key in info})


def _refuse_other_arguments(path: Path, existing: dict[str, Any], requested: dict[str, Any]) -> None:
    if "bend" in existing:  # the older name of `shift`
        existing = {**existing, "shift": existing["bend"]}
    differing = [key for key in requested if existing.get(key) != requested[key]]
    if differing:
        values = ", ".join(
            f"{key}={existing.get(key)!r}, but {requested[key]!r} is requested" for key in differing
        )
        raise ValueError(
            f"{path} was drawn with {values}: a world is drawn once, so that all runs see the same images. "
            "Request the former, set benchmark.root to a new folder (--out of 'bridgelab world'), or remove this one."
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file. The system releases it even if this process is killed."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that draws %s", path.stem)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
