"""V*Bench: attributes and positions of small objects in large photographs. Evaluation only.

Source: Wu and Xie 2024, "V*: Guided Visual Search as a Core Mechanism in Multimodal LLMs" (CVPR, arXiv:2312.14135).
Metric: accuracy of the likeliest option, by subtask. The whole option's log-probability counts, while penghao-wu/vstar's
vstar_bench_eval.py (7539bcc86a65) takes the option with the least mean loss per token.
Tags: type (direct_attributes 115, relative_position 76). Licence: MIT, photographs of SA-1B.

Layout of the hub's craigwu/vstar_bench, as the authors' README.md (0709e621e5fa) and that file have it; the first option is
the right one. The hub's folders OCR and GPT4V-hard are not part of the published scores:

    <type>/<name>.jpg or another image format
    <type>/<name>.json          {target_object, bbox, question, options: [str]}
"""

from pathlib import Path

from bridgelab.benchmark.annotations import layout_error, read_json, require
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.multiple_choice import first_is_right

LAYOUT = "{direct_attributes,relative_position}/<name>.jpg, {direct_attributes,relative_position}/<name>.json"
TYPES = ("direct_attributes", "relative_position")


class VStarBench(EvaluationOnly):
    """V*Bench's photographs, each with a question and its options."""

    def read(self) -> list[Example]:
        """Return all questions in the order of their files' names.

        Raises:
            FileNotFoundError: if a folder, or an image's annotation, is missing.
            ValueError: if an annotation is malformed.
        """
        examples = []
        for kind in TYPES:
            folder = require(
                self.root / kind, LAYOUT, "Get the hub's craigwu/vstar_bench, or set benchmark.root."
            )
            files = sorted(path for path in folder.iterdir() if path.name[0] != ".")
            images = [path for path in files if path.suffix != ".json"]
            of_images = {path.stem for path in images}
            for path in files:
                if path.stem not in of_images:  # its question would be left out of the score
                    raise FileNotFoundError(f"{path} has no image beside it. Get the complete folder.")
            for image in images:
                path = require(image.with_suffix(".json"), LAYOUT, "Get the complete folder.")
                annotation = read_json(path, "an object with question and options")
                try:
                    examples.append(self._example(kind, image, annotation["question"], annotation["options"]))
                except (KeyError, TypeError, ValueError) as error:
                    raise layout_error(
                        path, annotation, "an object with question and options", error
                    ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by subtask."""
        return {"choice": Accuracy(by=("type",))}

    def _example(self, kind: str, image: Path, question: str, options: list[str]) -> Example:
        return first_is_right(
            f"{kind}/{image.stem}",
            (str(image),),
            prompt=self.prompt,
            question=question,
            options=options,
            tags={"type": kind},
        )
