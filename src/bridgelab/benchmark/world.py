"""The built-in world as a benchmark: CLEVR's layout, drawn on first use and kept.

A split is whole once `<root>/<split>.done` stands, which holds the arguments it was made with. A lock lets
only one of several jobs make it, while the others wait.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.example import Example, choose
from bridgelab.world.bend import changed_fields, split_bend
from bridgelab.world.write import GENERATOR, write_world

IMAGES = MappingProxyType({"train": 6000, "val": 500, "test": 1000})


class World(Clevr):
    """Questions and captions about scenes of the built-in world.

    Args:
        root: the folder that the world is kept in, and written to where it is not there yet.
        images: how many images each split has; its keys are the splits, a bend (`world.bend`) after a dash where there
            is one: `test-clutter` has the scenes and questions of `test`, drawn with clutter.
        seed: of scenes and questions; no two splits share a random stream.
        processes: how many may draw at once; what is drawn does not depend on it.
        questions_per_image: how many are asked of each image, at most.
        objects: the least and the most objects of a scene.
        size: side of an image in pixels.
        bend: of the splits that name none: `cogent_a` draws train, val and test so.
        name: what the run record calls this benchmark.
        question_prompt: as in `Clevr`.
        caption_prompt: as in `Clevr`.
    Raises:
        ValueError: if a split has no image or a bend that there is not, or a prompt lacks its placeholder.
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
        bend: str | None = None,
        name: str = "world",
        question_prompt: str = "{question}",
        caption_prompt: str = "{prompt}",
    ):
        super().__init__(root, name=name, question_prompt=question_prompt, caption_prompt=caption_prompt)
        self.bend = bend
        for split, number in images.items():
            split_bend(self.part(split))
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
        """The splits that `images` names, whether drawn yet or not."""
        return tuple(self.images)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Questions and captions, always."""
        return ("answer", "caption")

    def part(self, split: str) -> str:
        """A split's name with its bend: what its files are named after."""
        return split if self.bend is None or "-" in split else f"{split}-{self.bend}"

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """All examples of a split, which is drawn first if it is not there; a bent one's have the tag `bend`.

        Raises:
            ValueError: if there is no such split or kind, or the one there was made with other arguments.
        """
        self.make(split)
        part = self.part(split)
        found = self.read(part, kind)
        _, dash, bend = part.partition("-")
        return [replace(e, tags={**e.tags, "bend": bend}) for e in found] if dash else found

    def make(self, split: str) -> None:
        """Draw a split unless it is there; of several processes one draws and the others wait.

        Raises:
            ValueError: if there is no such split, or the one that is there was made with other arguments.
        """
        number = self.images[choose(split, self.splits, "split")]
        part = self.part(split)
        _, bend = split_bend(part)
        wanted = {
            "generator": GENERATOR,
            "images": number,
            "seed": self.seed,
            "questions_per_image": self.questions_per_image,
            "objects": list(bend.objects or self.objects),
            "size": round(self.size * bend.pixels),
            **({"bend": changed_fields(bend)} if changed_fields(bend) else {}),
        }
        done = self.root / f"{part}.done"
        if not done.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            with _alone(self.root / f"{part}.lock"):
                if not done.exists():
                    self._refuse_others(part, wanted)
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
                    partial = done.with_suffix(f".{os.getpid()}.partial")
                    partial.write_text(json.dumps(wanted))
                    partial.replace(done)
        _compare(done, json.loads(done.read_text()), wanted)

    def _refuse_others(self, part: str, wanted: dict[str, Any]) -> None:
        """A part without a mark was cut short, or written by hand: another world is left alone."""
        path = self._file("questions", part)
        if path.exists():
            info = json.loads(path.read_text())["info"]
            _compare(path, info, {key: value for key, value in wanted.items() if key in info})


def _compare(path: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if differing:
        values = ", ".join(
            f"{key}={there.get(key)!r} where {wanted[key]!r} is asked for" for key in differing
        )
        raise ValueError(
            f"{path} was made with {values}: a world is made once, so that all runs see the same one. "
            "Ask for the former, set benchmark.root to a new folder, or remove this one."
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock on a file; the system lets go of it even if this process is killed."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
