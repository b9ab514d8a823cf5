"""Which published part each split is made of, and that no image stands in two splits."""

from collections.abc import Sequence

from bridgelab.benchmark.example import choose
from bridgelab.benchmark.share import check_share, draw_share

SPLITS = ("train", "val", "test")


class Parts:
    """Splits from published parts; where there is none for val, a share of train's images makes it.

    Args:
        train: the published part trained on; None where there is none.
        val: the one searched on; None to hold it out of train.
        test: the one that bridges are compared on.
        val_share: which share of train's images is held out where val is None, with all that shows them.
        seed: of the choice of these images.
    Raises:
        ValueError: if no part is named, val is without train, or `val_share` is not between 0 and 1.
    """

    def __init__(self, *, train: str | None, val: str | None, test: str | None, val_share: float, seed: int):
        if not (train or test) or (val and not train):
            raise ValueError(
                f"train={train!r}, val={val!r}, test={test!r}: train or test must name a published part, and val only "
                "beside train. Set benchmark.train or benchmark.test."
            )
        self._part = {"train": train, "val": val or train, "test": test}
        self._held_out = val is None
        self.val_share = check_share(val_share, "val_share")
        self.seed = seed
        self._shown: dict[str, set[str]] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that there are."""
        return tuple(split for split in SPLITS if self._part[split])

    def of(self, split: str) -> str:
        """The published part that a split is made of.

        Raises:
            ValueError: if there is no such split, with what to do where training asked.
        """
        if split in SPLITS and not self._part[split]:
            key = "train" if split == "val" else split
            raise ValueError(
                f"split={split!r}: must be one of {', '.join(self.splits)}, since benchmark.{key}=null. Name a part in "
                f"benchmark.{key}; without one for training, ask a trained run: bridgelab evaluate RUN benchmark=NAME …"
            )
        return str(self._part[choose(split, self.splits, "split")])

    def keep(self, split: str, images: Sequence[str]) -> list[bool]:
        """Which rows of the split's part belong to it.

        Args:
            images: each row's image, by whatever names it in all parts.
        Raises:
            ValueError: if an image stands in another split too, or if val is to be made of a single image.
        """
        chosen = [True] * len(images)
        if self._held_out and split in ("train", "val"):
            if len(set(images)) < 2:
                raise ValueError(
                    f"{self.of('train')} shows {len(set(images))} image: at least 2 are needed, to hold one out as val. Name "
                    "a part in benchmark.val, or get the data whole."
                )
            held_out = draw_share(images, self.val_share, self.seed)
            chosen = [(image in held_out) == (split == "val") for image in images]
        shown = {image for image, kept in zip(images, chosen, strict=True) if kept}
        for other, seen in self._shown.items():
            if other != split and (both := shown & seen):
                raise ValueError(
                    f"{len(both)} images stand in {split} ({self.of(split)}) and in {other} ({self.of(other)}), the first "
                    f"{min(both)}: a bridge may not be judged on images that it was trained on. Set benchmark.{split} "
                    "to a part of other images."
                )
        self._shown[split] = shown
        return chosen
