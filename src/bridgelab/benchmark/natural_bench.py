"""NaturalBench: pairs of questions whose answers differ between two similar photographs. Evaluation only.

Source: Li et al. 2024, "NaturalBench" (NeurIPS, arXiv:2410.14669).
Metric: `NaturalBenchMetric`: accuracy, Q-Acc, I-Acc and G-Acc, from free answers as the authors parse them.
Prompt: around `{question}` and `{instruction}`. The instruction is the authors': one for yes or no, one for A or B.
Tags: format (yes_no, multiple_choice), group (the item), question and image (the item's; each has two examples).
Licence: Apache-2.0, photographs of Flickr30k and DOCCI.

Layout of the hub's BaiqiL/NaturalBench (parquet, split train), as the authors' naturalbench_vqa.py (371725813bb1) and
example.py (4da06f531516, which writes `Question Type`) read it: columns Question_0, Question_1, Image_0, Image_1,
`Image_<i>_Question_<q>` (Yes, No, A or B), Question_Type.
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.natural_bench_metric import WORDS, NaturalBenchMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly

INSTRUCTIONS = {
    "yes_no": "Please answer Yes or No.",
    "multiple_choice": "Please output the letter corresponding to the correct option.",
}


class NaturalBench(EvaluationOnly):
    """NaturalBench's items, four examples each: both questions about both images.

    Args:
        root: the folder that keeps the download.
        name: the benchmark's name in the record.
        prompt: what the language model reads: `{question}`, which is required, and `{instruction}`.
        hub: the data set's name on the hub, or a folder of its parquet files.
        revision: revision of the hub's repository.
    Raises:
        ValueError: if the prompt lacks `{question}`.
    """

    kinds = ("answer",)

    def __init__(self, root: str | Path, *, name: str, prompt: str, hub: str, revision: str | None = None):
        super().__init__(root, name=name, prompt=prompt)
        self.hub = hub
        self.revision = revision

    def read(self) -> list[Example]:
        """Return the four examples of each item, one after the other.

        Raises:
            ValueError: if an item is malformed, or as `hub_rows`.
        """
        rows = hub_rows(self.hub, "train", self.root, images=("Image_0", "Image_1"), revision=self.revision)
        examples = []
        for number, row in enumerate(rows):
            try:
                examples += self._item(number, row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{self.hub}: item {number} is malformed ({type(error).__name__}: {error}). Each needs Question_0, Question_1, "
                    "Image_0, Image_1, an answer for each pair, and Question_Type. Get the data set again."
                ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return the four values, accuracy also by the format of the question."""
        return {"answer": NaturalBenchMetric(by=("format",))}

    def _item(self, number: int, row: dict[str, Any]) -> list[Example]:
        question_type = choose(row.get("Question_Type") or row["Question Type"], WORDS, "Question_Type")
        return [
            Example(
                id=f"{number}-q{question}-i{image}",
                images=(row[f"Image_{image}"],),
                prompt=self.prompt.replace("{instruction}", INSTRUCTIONS[question_type]).replace(
                    "{question}", row[f"Question_{question}"]
                ),
                answers=(self._answer(row[f"Image_{image}_Question_{question}"], question_type),),
                kind="answer",
                tags={
                    "format": question_type,
                    "group": str(number),
                    "question": f"{number}-q{question}",
                    "image": f"{number}-i{image}",
                },
            )
            for question in (0, 1)
            for image in (0, 1)
        ]

    def _answer(self, answer: str, question_type: str) -> str:
        """Return an answer if it is one of its type's."""
        if answer.strip().lower() not in [word.lower() for word in WORDS[question_type]]:
            raise ValueError(f"answer={answer!r} must be one of {', '.join(WORDS[question_type])}")
        return answer.strip()
