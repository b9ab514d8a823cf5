"""A benchmark's examples made ready for a bridge: read, their images looked at, their features at hand."""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bridgelab.backbones import Backbones
from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.feature_source import image_features, left_out, skips
from bridgelab.data.images import missing, refuse_broken
from bridgelab.data.sampler import spread
from bridgelab.world.layout import patch_like

MAX_SKIPPED = 0.1  # where a record was written before `data.max_skipped`
log = logging.getLogger(__name__)


class Material:
    """Some splits of a config's benchmark, as the bridge between two sides sees them.

    Args:
        backbones: both frozen sides, with the config that names the benchmark.
        splits: which are read, at once.
    """

    def __init__(self, backbones: Backbones, splits: Sequence[str]):
        self.backbones, self.config = backbones, backbones.config
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
            ValueError: if an image is missing or broken and `data.on_error` refuses it, or if more of a split's images than
                `data.max_skipped` would be left out.
        """
        of_split = {split: self._images(split) for split in self._examples}
        images = list(itertools.chain.from_iterable(of_split.values()))
        if not skips(self.config):  # at once, for all, and for a bridge that sees none of them too
            refuse_broken(missing(images), len(images))
        if self.backbones.sees == "image":
            self.frozen = image_features(self.config, self.backbones.vision.to(self.backbones.device), images)
        broken = left_out(self.config, images) if self.frozen is None else self.frozen.left_out
        self.skipped["images"] = broken
        refuse_too_many(broken, of_split, self.config.data.get("max_skipped", MAX_SKIPPED))
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
        return len(self._images(split))

    def standard(self, split: str) -> dict[str, torch.Tensor]:
        """Mean and deviation of a split's patches; none where there are no patches."""
        if self.frozen is None:
            return {}
        own = self.frozen.part(self._images(split))
        return {"mean": own.mean, "std": own.std}

    def prepared(self, split: str, examples: Sequence[Example], conditioning: str) -> TokenizedExamples:
        """Some examples of a split, ready for a bridge of this conditioning."""
        row_of, look_up = self.features(split)
        max_length = self.config.data.get("max_length")  # which older runs do not say
        made = TokenizedExamples(examples, self.backbones.text, row_of, look_up, conditioning, max_length)
        for line in made.outliers:
            log.warning("%s: %s", split, line)
        return made

    def chosen(
        self, split: str, limit: Mapping[str, int | None], *, groups: bool = False
    ) -> dict[str, list[Example]]:
        """A split's examples by kind; of each at most as many as `limit` says, spread over all; no kind without any.

        Args:
            groups: keep those together that share the tag `group`, as metrics over whole groups need.
        """
        found = {}
        for kind, examples in self._examples[split].items():
            most = limit.get("caption" if kind == "caption" else "answer")
            if most is not None:
                together = groups and all("group" in e.tags for e in examples)
                examples = (
                    spread_groups(examples, most)
                    if together
                    else [examples[k] for k in spread(len(examples), most)]
                )
            if examples:
                found[kind] = examples
        return found

    def check(self, split: str, limit: Mapping[str, int | None], key: str, *, alone: bool = False) -> None:
        """Count what a split gives, and ask each kind's metric whether it means something on it, before anything is trained.

        Args:
            limit: as in `chosen`.
            key: where the limit stands in the config.
            alone: only single scores are asked of the metrics, as in validation.
        Raises:
            ValueError: if there is no example, or a metric refuses them.
        """
        read = {kind: len(examples) for kind, examples in self._examples[split].items()}
        found = self.chosen(split, limit, groups=not alone)
        if not found:
            told = ", ".join(f"{number} of kind {kind}" for kind, number in read.items()) or "none"
            lost = self.skipped["examples"].get(split, 0)
            raise ValueError(
                f"split {split} of {self.benchmark.name} gives 0 examples: it has {told}"
                + (f", {lost} were left out for broken images" if lost else "")
                + f", and {key}={dict(limit)}. At least 1 is needed. Raise {key}, or get the data whole."
            )
        log.info(
            "%s, %s: %s examples",
            self.benchmark.name,
            split,
            ", ".join(f"{len(examples):,} of {read[kind]:,} {kind}" for kind, examples in found.items()),
        )
        metrics = self.benchmark.metrics()
        for kind, examples in found.items():
            if not (alone and kind == "caption"):  # validation scores no captions
                try:
                    caution = metrics[kind].check(examples, alone=alone)
                except ValueError as error:
                    raise ValueError(f"{self.benchmark.name}, {split}: {error}") from error
                if caution:
                    log.warning("%s, %s: %s", self.benchmark.name, split, caution)

    def limited(
        self,
        split: str,
        limit: Mapping[str, int | None],
        conditioning: str,
        *,
        groups: bool = False,
    ) -> dict[str, TokenizedExamples]:
        """As `chosen`, ready for a bridge of this conditioning."""
        chosen = self.chosen(split, limit, groups=groups)
        return {kind: self.prepared(split, examples, conditioning) for kind, examples in chosen.items()}

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
        if self.backbones.sees != "words":
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
            embedded = self.backbones.text.embed_words([scenes[path] for path in images])
        return lambda rows: embedded[torch.as_tensor(rows)]


def refuse_too_many(broken: Mapping[str, str], of_split: Mapping[str, Sequence[str]], most: float) -> None:
    """Refuse to leave out so many of a split's images that what is left is another data set.

    Args:
        broken: what is wrong, by path.
        of_split: each split's images.
        most: the share of a split's images that may be left out.
    Raises:
        ValueError: with the split and the share.
    """
    for split, images in of_split.items():
        lost = [path for path in images if path in broken]
        if len(lost) > most * len(images):
            raise ValueError(
                f"{len(lost)} of {len(images)} images of {split} ({100 * len(lost) / len(images):.0f} %) can't be used, such as "
                f"{lost[0]}, which {broken[lost[0]]}: data.max_skipped={most} of a split may be left out. Get the images whole, "
                "or raise data.max_skipped if the rest is what you mean to train and test on."
            )


def spread_groups(examples: Sequence[Example], most: int) -> list[Example]:
    """At most `most` of some examples, spread over all, in groups by their tag `group`, each of them whole.

    Raises:
        ValueError: if not even one group fits.
    """
    groups: dict[str | int, list[Example]] = {}
    for e in examples:
        groups.setdefault(e.tags["group"], []).append(e)
    every = list(groups.values())
    for number in range(min(len(every), -(-most * len(every) // len(examples))), 0, -1):
        chosen = {id(e) for k in spread(len(every), number) for e in every[k]}
        if len(chosen) <= most:
            return [e for e in examples if id(e) in chosen]
    if most:
        raise ValueError(
            f"evaluate.limit.answer={most} is less than a group, such as the {len(every[0])} examples of {next(iter(groups))!r}: "
            "groups are scored whole. Raise evaluate.limit.answer."
        )
    return []
