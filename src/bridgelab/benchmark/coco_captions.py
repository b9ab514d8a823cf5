"""Captions of photographs in Karpathy's splits: COCO, and Flickr30k through its own yaml.

Source: Chen et al. 2015, "Microsoft COCO Captions" (arXiv:1504.00325); Young et al. 2014 (Flickr30k); the splits
of Karpathy and Fei-Fei 2015 (arXiv:1412.2306).
Metric: `CaptionMetric`: BLEU-1 to 4, ROUGE-L and CIDEr-D as coco-caption computes them, over all references of an
image. With Java there is METEOR too. Tags: type. Licence: COCO's captions CC-BY-4.0; Flickr's photographs under their own
terms, Flickr30k for research only. Size: COCO's train includes restval; some of its photographs have more than five captions.

Layout of caption_datasets.zip, as karpathy/neuraltalk's imagernn/data_provider.py (2c99eac2075d) reads it, and for COCO's folders
ruotianluo/ImageCaptioning.pytorch's scripts/prepro_labels.py (020aff852d3c):

    dataset_<name>.json     {images: [{filename, split, imgid, sentences: [{raw}], filepath (COCO alone)}]}
    <images>/<filepath>/<filename>
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import layout_error, read_json, require, under
from bridgelab.benchmark.example import Example, check_examples, choose
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.benchmark.metrics.example_metric import ExampleMetric

LAYOUT = "<file>, <images>/<filepath>/<filename>"
PARTS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}


class CocoCaptions:
    """Photographs with their captions.

    Args:
        root: the folder that `file` and `images` are relative to.
        name: the benchmark's name in the record.
        prompt: what the language model reads.
        file: Karpathy's file.
        images: the folder of the images, or of the folders that the file names.
    Raises:
        ValueError: if pycocoevalcap is not installed.
    """

    splits = tuple(PARTS)
    kinds = ("caption",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "coco_captions",
        prompt: str = "describe the picture .",
        file: str = "dataset_coco.json",
        images: str = ".",
    ):
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.file = self.root / file
        self.images = (self.root / images).resolve()
        self.metrics()  # fail now if pycocoevalcap is missing, not after the captions are generated

    def examples(self, split: str, kind: str = "caption") -> list[Example]:
        """Return one example per caption for train, which has one target each, and else one per image with all its captions.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if there is no such split or kind, or an image's entry is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        path = require(
            self.file,
            LAYOUT,
            "Get Karpathy's caption_datasets.zip, or set benchmark.root and benchmark.file.",
        )
        examples = []
        for number, entry in enumerate(self._entries(path)):
            try:
                if entry["split"] in PARTS[split]:
                    examples += self._of_image(split, entry)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{path}: image {number} is malformed ({type(error).__name__}: {error}). Each needs filename, "
                    "split, imgid, and sentences with raw. Get the file again."
                ) from error
        return check_examples(examples, f"{path} ({split})")

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return BLEU, ROUGE-L and CIDEr-D."""
        return {"caption": CaptionMetric(attributes=False)}

    def _entries(self, path: Path) -> list[dict[str, Any]]:
        expected = (
            "a list under 'images', of entries with split and sentences, as Karpathy's dataset_coco.json"
        )
        content = read_json(path, expected)
        try:
            entries = content["images"]
            if not isinstance(entries, list):
                raise ValueError(f"images is a {type(entries).__name__}")
            if entries and not any("split" in entry for entry in entries):
                raise KeyError("split")
        except (ValueError, KeyError, TypeError) as error:
            raise layout_error(path, content, expected, error) from error
        return entries

    def _of_image(self, split: str, entry: dict[str, Any]) -> list[Example]:
        captions = tuple(" ".join(sentence["raw"].split()) for sentence in entry["sentences"])
        image = under(self.images, *filter(None, (entry.get("filepath"), entry["filename"])))
        groups = [(caption,) for caption in captions] if split == "train" else [captions]
        return [
            Example(
                id=f"train-{entry['imgid']}-{k}" if split == "train" else f"{split}-{entry['imgid']}",
                images=(image,),
                prompt=self.prompt,
                answers=group,
                kind="caption",
                tags={"type": "caption"},
            )
            for k, group in enumerate(groups)
        ]
