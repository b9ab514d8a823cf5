"""What'sUp: which caption names the place of an object? Evaluation only.

Source: Kamath et al. 2023, "What's 'up' with vision-language models?" (EMNLP, arXiv:2310.19785).
Metric: accuracy of the likeliest caption, by preposition; for the two controlled sets also `GroupAccuracy`. The groups are
pairs of opposite prepositions, and sets of four with the same objects, as in the authors' dataset_zoo/aro_datasets.py
(447c169df272). Tags: type (the preposition); of the controlled sets also pair, set, and group, which is the set.
Licence: MIT; photographs of COCO 2017 and Visual Genome under their owners' terms. Size in images: controlled_a 412,
controlled_b 408, coco_one 2,247, coco_two 440, vg_one 1,160, vg_two 291.

Layout of amitakamath/whatsup_vlms's folder `data`, read from that file; the first caption is the right one:

    data/controlled_images_dataset.json, data/controlled_clevr_dataset.json
                    [{image_path: data/controlled_images/<object>_<preposition>_<object>.jpeg, caption_options: [4 str]}]
    data/{coco,vg}_qa_{one,two}_obj.json    [[image id, right caption, wrong caption]]
    data/val2017/000000000042.jpg, data/vg_images/42.jpg
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.multiple_choice import first_is_right

LAYOUT = "data/<file of the variant>.json, data/controlled_images/…, data/val2017/…, data/vg_images/…"
FILES = {
    "controlled_a": "controlled_images_dataset.json",
    "controlled_b": "controlled_clevr_dataset.json",
    "coco_one": "coco_qa_one_obj.json",
    "coco_two": "coco_qa_two_obj.json",
    "vg_one": "vg_qa_one_obj.json",
    "vg_two": "vg_qa_two_obj.json",
}
# The authors' names of a controlled image's preposition, and of a two-object caption's; the first that occurs counts.
PLACES = ("left_of", "right_of", "_on_", "in-front_of", "under", "behind")
PHRASES = {
    "left of": "left", "right of": "right", "above": "above", "below": "below", "front of": "front", "behind": "behind",
}  # fmt: skip
HORIZONTAL = ("left_of", "right_of")


class WhatsUp(EvaluationOnly):
    """What'sUp's images, each with two or four captions to choose from.

    Args:
        root: the folder that holds `data`.
        name: the benchmark's name in the record.
        prompt: what the language model reads before a caption.
        variant: one of `FILES`: the controlled sets A and B, or COCO's and Visual Genome's images of one or two objects.
    Raises:
        ValueError: if there is no such variant.
    """

    placeholder = None

    def __init__(self, root: str | Path, *, name: str, prompt: str, variant: str = "controlled_a"):
        super().__init__(root, name=name, prompt=prompt)
        self.variant = choose(variant, FILES, "variant")

    @property
    def controlled(self) -> bool:
        """Whether the images are of sets with the same objects."""
        return self.variant.startswith("controlled")

    def read(self) -> list[Example]:
        """Return all images in the file's order.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if an entry is malformed.
        """
        path = require(
            self.root / "data" / FILES[self.variant],
            LAYOUT,
            "Get it as github.com/amitakamath/whatsup_vlms says, or set benchmark.root.",
        )
        examples = []
        for number, entry in enumerate(read_list(path, of=dict if self.controlled else list)):
            try:
                to_example = self._controlled if self.controlled else self._natural
                examples.append(to_example(f"{self.variant}-{number}", entry))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{path}: entry {number} is malformed ({type(error).__name__}: {error}). Each needs an image and two or more "
                    "captions. Get the file again."
                ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by preposition, and for controlled sets accuracy over pairs and sets."""
        by = ("type",)
        if not self.controlled:
            return {"choice": Accuracy(by=by)}
        groups, sizes = (
            {"pair_accuracy": "pair", "set_accuracy": "set"},
            {"pair_accuracy": 2, "set_accuracy": 4},
        )
        return {"choice": GroupAccuracy(groups=groups, sizes=sizes, by=by)}

    def _controlled(self, name: str, entry: dict[str, Any]) -> Example:
        """Return the example of an image whose name gives its objects and the preposition between them."""
        file = entry["image_path"]
        preposition = next((place for place in PLACES if place in file), None)
        if preposition is None:
            raise ValueError(f"image_path={file!r} must name one of {', '.join(PLACES)}")
        words = file.split("/")[-1].rpartition(".")[0].split("_")
        objects = f"{words[0]} {words[-1]}"
        axis = "horizontal" if preposition in HORIZONTAL else "other"
        tags = {"type": preposition.strip("_"), "set": objects, "pair": f"{objects} {axis}", "group": objects}
        return self._captions(name, file, entry["caption_options"], tags)

    def _natural(self, name: str, entry: list[Any]) -> Example:
        """Return the example of a photograph with a right and a wrong caption."""
        number, right, wrong = entry
        image = (
            f"data/val2017/{str(number).zfill(12)}.jpg"
            if "coco" in self.variant
            else f"data/vg_images/{number}.jpg"
        )
        last = "below" if "coco" in self.variant else "top"
        one = self.variant.endswith("one")
        place = (
            right.split()[-1] if one else next((of for words, of in PHRASES.items() if words in right), last)
        )
        return self._captions(name, image, [right, wrong], {"type": place})

    def _captions(self, name: str, image: str, captions: list[str], tags: dict[str, str]) -> Example:
        return first_is_right(
            name, (under(self.root, image),), prompt=self.prompt, options=captions, tags=tags
        )
