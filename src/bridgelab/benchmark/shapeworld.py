"""ShapeWorld: is a caption true of a picture of flat shapes, skill by skill?

Source: Kuhnle and Copestake 2017, "ShapeWorld" (arXiv:1704.04517).
Metric: accuracy, by skill and by generator. Tags: type (the skill: existential, logical, quantification, …), generator.
Licence: MIT. Size: whatever was generated; the published examples have 17 generators of 50 images of 100×100 with five
captions each, 4,250 in all, half of them true.

Layout, as AlexKuhnle/ShapeWorld publishes its examples:

    <generator>/caption.txt         one caption per line, grouped by image, with a blank line between images
    <generator>/agreement.txt       '0.0;1.0;…' per image, 1.0 if the caption is true
    <generator>/world-<i>.png       i from 0

A generator is `<skill>-<variant>`. There are no splits, so shares of each generator's images are held out.
"""

from pathlib import Path

from bridgelab.benchmark.annotations import read_text, require
from bridgelab.benchmark.example import TRUE_FALSE, Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.splits import check_share, draw_share

LAYOUT = "<generator>/caption.txt, <generator>/agreement.txt, <generator>/world-<i>.png"
TRUTH = {"1.0": TRUE_FALSE[0], "0.0": TRUE_FALSE[1]}


class ShapeWorld:
    """ShapeWorld's captions, each true or false of one picture.

    Args:
        root: the folder that holds a folder for each generator.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{caption}` stands for the caption.
        val_share: share of each generator's images for val.
        test_share: share of each generator's images for test.
        seed: seed of the choice of these images.
    Raises:
        ValueError: if the prompt lacks its placeholder, or a share or their sum is not between 0 and 1.
    """

    splits = ("train", "val", "test")
    kinds = ("true_false",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "shapeworld",
        prompt: str = "{caption}",
        val_share: float = 0.1,
        test_share: float = 0.4,
        seed: int = 0,
    ):
        fill(prompt, "caption", "")
        self.val_share = check_share(val_share, "val_share")
        self.test_share = check_share(test_share, "test_share")
        check_share(val_share + test_share, "val_share + test_share")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.seed = seed

    def examples(self, split: str, kind: str = "true_false") -> list[Example]:
        """Return all examples of a split, generator by generator.

        Raises:
            FileNotFoundError: if a file is missing, or there is no generator.
            ValueError: if there is no such split or kind, or captions and agreements don't match.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        fix = "Get the data from github.com/AlexKuhnle/ShapeWorld, or set benchmark.root."
        folders = sorted(path.parent for path in self.root.glob("*/caption.txt"))
        if not folders:
            require(self.root / "<generator>" / "caption.txt", LAYOUT, fix)
        examples = []
        for folder in folders:
            require(folder / "agreement.txt", LAYOUT, fix)
            worlds = _worlds(folder)
            names = {str(world) for world in range(len(worlds))}
            test = draw_share(names, self.test_share, self.seed)
            val = draw_share(names - test, self.val_share / (1 - self.test_share), self.seed)
            selected = {"test": test, "val": val, "train": names - test - val}[split]
            examples += [
                self._example(folder, world, number, caption, truth)
                for world, pairs in enumerate(worlds)
                if str(world) in selected
                for number, (caption, truth) in enumerate(pairs)
            ]
        return check_examples(examples, str(self.root))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy, by skill and generator."""
        return {"true_false": Accuracy(by=("type", "generator"))}

    def _example(self, folder: Path, world: int, number: int, caption: str, truth: str) -> Example:
        return Example(
            id=f"{folder.name}-{world}-{number}",
            images=(f"{folder}/world-{world}.png",),
            prompt=fill(self.prompt, "caption", caption),
            answers=(TRUTH[truth],),
            kind="true_false",
            tags={"type": folder.name.split("-")[0], "generator": folder.name},
        )


def _worlds(folder: Path) -> list[list[tuple[str, str]]]:
    """Return for each image its captions, each with '1.0' if true and '0.0' if false."""
    blocks = [b.splitlines() for b in read_text(folder / "caption.txt").strip("\n").split("\n\n")]
    truths = [line.split(";") for line in read_text(folder / "agreement.txt").splitlines()]
    if [len(block) for block in blocks] != [len(truth) for truth in truths]:
        raise ValueError(
            f"{folder} has captions of {len(blocks)} images and agreements of {len(truths)}, or their numbers differ for an "
            "image: each caption needs one agreement. Get both files again."
        )
    for world, truth in enumerate(truths):
        if unknown := set(truth) - set(TRUTH):
            raise ValueError(
                f"{folder}/agreement.txt, image {world}: agreement {min(unknown)!r} must be 0.0 or 1.0. Get the file again."
            )
    return [list(zip(block, truth, strict=True)) for block, truth in zip(blocks, truths, strict=True)]
