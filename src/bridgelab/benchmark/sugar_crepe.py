"""SugarCrepe: a photograph's caption, or one with an object, attribute or relation changed? Evaluation only.

Source: Hsieh et al. 2023, "SugarCrepe: Fixing Hackable Benchmarks for Vision-Language Compositionality" (NeurIPS,
arXiv:2306.14610).
Metric: accuracy of the likelier caption, by category. RAIVNLab/sugar-crepe's main_eval.py (6e45274de984) counts the same way,
but ties fail there. Compare with the rows of bridge=blind, not with 50 %: the data were refined until neither plausibility
(Vera) nor grammar tells the captions apart without the image (the authors' text_model_eval.py, 1a223dede9db), but a T5's own
likelihood was not tried.
Tags: type (replace_obj 1,652, replace_att 788, replace_rel 1,406, swap_obj 245, swap_att 666, add_obj 2,062, add_att 692),
change (replace, swap, add). Licence: MIT, photographs of COCO val2017.

Layout of RAIVNLab/sugar-crepe's folder `data`, read from main_eval.py:

    <type>.json                 {<number>: {filename, caption, negative_caption}}
    <images>/<filename>         COCO's val2017.zip
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import layout_error, read_json, require, under
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.multiple_choice import first_is_right

LAYOUT = "{replace_obj,replace_att,replace_rel,swap_obj,swap_att,add_obj,add_att}.json, <images>/<filename>"
TYPES = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att")


class SugarCrepe(EvaluationOnly):
    """SugarCrepe's photographs, each with its caption and a changed one to choose from.

    Args:
        root: the folder that holds the seven files.
        name: the benchmark's name in the record.
        prompt: what the language model reads before a caption.
        images: the folder of COCO's val2017, relative to root.
    """

    placeholder = None

    def __init__(self, root: str | Path, *, name: str, prompt: str, images: str = "val2017"):
        super().__init__(root, name=name, prompt=prompt)
        self.images = self.root / images

    def read(self) -> list[Example]:
        """Return all pairs, category by category.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if an entry is malformed.
        """
        examples = []
        for kind in TYPES:
            path = require(
                self.root / f"{kind}.json",
                LAYOUT,
                "Get the folder data of github.com/RAIVNLab/sugar-crepe, or set benchmark.root.",
            )
            content = read_json(path, "an object of entries by number")
            if not isinstance(content, dict):
                raise layout_error(path, content, "an object of entries by number")
            for number, entry in content.items():
                try:
                    examples.append(self._example(kind, number, entry))
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise ValueError(
                        f"{path}: entry {number} is malformed ({type(error).__name__}: {error}). Each needs filename, caption and "
                        "negative_caption. Get the file again."
                    ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by category, and by what is done to the caption."""
        return {"choice": Accuracy(by=("type", "change"))}

    def _example(self, kind: str, number: str, entry: dict[str, Any]) -> Example:
        return first_is_right(
            f"{kind}-{number}",
            (under(self.images, entry["filename"]),),
            prompt=self.prompt,
            options=[entry["caption"], entry["negative_caption"]],
            tags={"type": kind, "change": kind.partition("_")[0]},
        )
