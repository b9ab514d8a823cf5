"""How a benchmark's splits are made: from published parts, from held-out shares, or test only."""

import random
from collections.abc import Iterable, Sequence

from bridgelab.benchmark.example import choose

SPLITS = ("train", "val", "test")


class PublishedSplits:
    """Splits made of published parts; without a part for val, a share of train's images is held out.

    Args:
        train: the published part to train on, or None if there is none.
        val: the part to search on, or None to hold it out of train.
        test: the part to compare bridges on, or None.
        val_share: share of train's images to hold out if `val` is None, each with all rows that show it.
        seed: seed of the choice of these images.
    Raises:
        ValueError: if no part is named, val is named without train, or `val_share` is not between 0 and 1.
    """

    def __init__(self, *, train: str | None, val: str | None, test: str | None, val_share: float, seed: int):
        if not (train or test) or (val and not train):
            raise ValueError(
                f"train={train!r}, val={val!r}, test={test!r}: train or test must name a published part, and val only "
                "beside train. Set benchmark.train or benchmark.test."
            )
        self._parts = {"train": train, "val": val or train, "test": test}
        self._held_out = val is None
        self.val_share = check_share(val_share, "val_share")
        self.seed = seed
        self._images: dict[str, set[str]] = {}  # of the splits selected so far

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that there are."""
        return tuple(split for split in SPLITS if self._parts[split])

    def part(self, split: str) -> str:
        """Return the published part that a split is made of.

        Raises:
            ValueError: if there is no such split.
        """
        if split in SPLITS and not self._parts[split]:
            key = "train" if split == "val" else split
            raise ValueError(
                f"split={split!r}: must be one of {', '.join(self.names)}, since benchmark.{key}=null. Name a part in "
                f"benchmark.{key}; without a part to train on, evaluate a trained run: bridgelab evaluate RUN benchmark=NAME …"
            )
        return str(self._parts[choose(split, self.names, "split")])

    def select(self, split: str, images: Sequence[str]) -> list[bool]:
        """Return which rows of the split's part belong to the split.

        Args:
            split: name of the split.
            images: each row's image, by a name that is the same in all parts.
        Raises:
            ValueError: if an image is in another split too, or val would be held out of a single image.
        """
        selected = [True] * len(images)
        if self._held_out and split in ("train", "val"):
            if len(set(images)) < 2:
                raise ValueError(
                    f"{self.part('train')} shows {len(set(images))} image: at least 2 are needed, to hold one out as val. Name "
                    "a part in benchmark.val, or get the complete data."
                )
            held_out = draw_share(images, self.val_share, self.seed)
            selected = [(image in held_out) == (split == "val") for image in images]
        own = {image for image, kept in zip(images, selected, strict=True) if kept}
        for other, others in self._images.items():
            if other != split and (common := own & others):
                raise ValueError(
                    f"{len(common)} images are in {split} ({self.part(split)}) and in {other} ({self.part(other)}), the first "
                    f"{min(common)}: a bridge may not be tested on images that it was trained on. Set benchmark.{split} "
                    "to a part of other images."
                )
        self._images[split] = own
        return selected


def check_share(share: float, name: str) -> float:
    """Return the share if it lies between 0 and 1.

    Raises:
        ValueError: if not.
    """
    if not 0 < share < 1:
        raise ValueError(f"{name}={share}: must lie between 0 and 1. Set benchmark.{name} to, say, 0.1.")
    return share


def draw_share(names: Iterable[str], share: float, seed: int) -> set[str]:
    """Draw this share of the names, at least one, independent of their order."""
    ordered = sorted(set(names))
    random.Random(seed).shuffle(ordered)
    return set(ordered[: max(1, round(share * len(ordered)))])


def require_test(split: str, name: str) -> str:
    """Return the split if it is test, for a benchmark published for evaluation only.

    Raises:
        ValueError: if not.
    """
    if split in ("train", "val"):
        raise ValueError(
            f"split={split!r}: {name} was published for evaluation only and has no split but test. "
            "Train on another benchmark, and use this one's test."
        )
    return choose(split, ("test",), "split")
