"""A benchmark's examples made ready for a bridge: read, their images looked at, their features at hand."""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import Prepared
from bridgelab.data.images import missing, refuse_broken
from bridgelab.data.sampler import spread
from bridgelab.train.build import build
from bridgelab.train.features import image_features, left_out, skips
from bridgelab.train.sides import Sides
from bridgelab.world.layout import patch_like

log = logging.getLogger(__name__)


class Material:
    """Some splits of a config's benchmark, as the bridge between two sides sees them.

    Args:
        sides: both frozen sides, with the config that names the benchmark.
        splits: which are read, at once.
    """

    def __init__(self, sides: Sides, splits: Sequence[str]):
        self.sides, self.config = sides, sides.config
        self.benchmark = build(self.config.benchmark, "benchmark")
        self._examples = {
            split: {kind: self.benchmark.examples(split, kind) for kind in self.benchmark.kinds}
            for split in splits
        }
        self._stores: dict[str, tuple[dict[str, int], Callable]] = {}
        self.frozen: Any = None
        self.skipped: dict[str, Any] = {"images": {}, "examples": {}}

    def examples(self, split: str) -> dict[str, list[Example]]:
        """A split's examples by kind."""
        return self._examples[split]

    def make_features(self) -> None:
        """Read all images that are asked about and make their features, before hours are spent; what is broken is left out.

        Raises:
            ValueError: if an image is missing or broken and `data.on_error` refuses it.
        """
        images = [path for split in self._examples for path in self._images(split)]
        if not skips(self.config):  # at once, for all, and for a bridge that sees none of them too
            refuse_broken(missing(images), len(images))
        if self.sides.sees == "image":
            self.frozen = image_features(self.config, self.sides.vision.to(self.sides.device), images)
        broken = left_out(self.config, images) if self.frozen is None else self.frozen.left_out
        self.skipped["images"] = broken
        for split, kinds in self._examples.items():
            before = sum(map(len, kinds.values()))
            for kind, examples in kinds.items():
                kinds[kind] = [e for e in examples if broken.keys().isdisjoint(e.images)]
            self.skipped["examples"][split] = before - sum(map(len, kinds.values()))
        if broken:
            log.warning(
                "left out for broken images: %s examples\n%s",
                ", ".join(f"{number} {split}" for split, number in self.skipped["examples"].items()),
                "\n".join(f"  {path} {problem}" for path, problem in broken.items()),
            )

    def features(self, split: str) -> tuple[dict[str, int], Callable]:
        """The row of each image of a split, and what looks rows up; made once."""
        if split not in self._stores:
            images = self._images(split)
            self._stores[split] = (
                {path: row for row, path in enumerate(images)},
                self._looked_up(split, images),
            )
        return self._stores[split]

    def images_of(self, split: str) -> int:
        """How many images a split has."""
        return len(self.features(split)[0])

    def standard(self, split: str) -> dict[str, torch.Tensor]:
        """Mean and deviation of a split's patches; none where there are no patches."""
        if self.frozen is None:
            return {}
        own = self.frozen.part(self._images(split))
        return {"mean": own.mean, "std": own.std}

    def prepared(self, split: str, examples: Sequence[Example], conditioning: str) -> Prepared:
        """Some examples of a split, ready for a bridge of this conditioning."""
        row_of, look_up = self.features(split)
        return Prepared(examples, self.sides.text, row_of, look_up, conditioning)

    def limited(self, split: str, limit: Mapping[str, int | None], conditioning: str) -> dict[str, Prepared]:
        """A split's examples by kind; of each at most as many as `limit` says, spread over all."""
        made = {}
        for kind, examples in self._examples[split].items():
            most = limit.get("caption" if kind == "caption" else "answer")
            if most is not None:
                examples = [examples[k] for k in spread(len(examples), most)]
            if examples:
                made[kind] = self.prepared(split, examples, conditioning)
        return made

    def told(self) -> dict[str, Any]:
        """What the record says of features and images."""
        used = "none" if self.frozen is None else self.frozen.source
        return {
            "features": used,
            "features_dtype": getattr(self.frozen, "dtype", None),
            "skipped": self.skipped,
        }

    def _images(self, split: str) -> list[str]:
        """The images of a split, each once; a row of its features is a place here."""
        examples = itertools.chain.from_iterable(self._examples[split].values())
        return list(dict.fromkeys(path for e in examples for path in e.images))

    def _looked_up(self, split: str, images: list[str]) -> Callable:
        if self.frozen is not None:
            return self.frozen.part(images).get
        if self.sides.sees != "words":
            return lambda rows: torch.zeros(len(rows), 1, 1)
        examples = itertools.chain.from_iterable(self._examples[split].values())
        scenes = {e.images[0]: e.words for e in examples if e.words is not None}
        if len(scenes) < len(images):
            raise ValueError(
                f"benchmark {self.benchmark.name} has images without their scene in words, which "
                "bridge=words reads. Choose a benchmark with annotated scenes, such as benchmark=world."
            )
        if self.config.bridge.get("form") == "patch_like":
            scenes = {path: patch_like(words) for path, words in scenes.items()}
        with torch.no_grad():
            embedded = self.sides.text.embed_words([scenes[path] for path in images])
        return lambda rows: embedded[torch.as_tensor(rows)]
