"""Multiple-choice benchmarks in VLMEvalKit's tables: MMBench, SEED-Bench, MMStar, RealWorldQA, BLINK, SpatialEval.

Sources: Liu et al. 2023 (MMBench, arXiv:2307.06281), Li et al. 2023 (SEED-Bench, arXiv:2307.16125), Chen et al. 2024
(MMStar, arXiv:2403.20330), xAI 2024 (RealWorldQA), Fu et al. 2024 (BLINK, arXiv:2404.12390), Wang et al. 2024
(SpatialEval, arXiv:2406.14852).
Metric: accuracy of the likeliest option, overall and by category. Means are as by `report_acc` in VLMEvalKit's
vlmeval/dataset/utils/multiple_choice.py (028a6e770243). VLMEvalKit itself reads a letter or an option from free text.
With `variant=circular`, as MMBench is scored, also circular accuracy, overall and by category: a question counts if it is
right in all orders of its options, which are further rows of the table (`g_index`, or an index a multiple of a million
higher). MMBench's published abilities are these, `circular_accuracy/type=…`: `accuracy/type=…` is over all orders.
Prompt: of `{question}`, `{hint}` and `{options}`. Tags: type, family, group (the question, with `variant=circular`).
Licence: each benchmark's own.

Layout: a table with a row for each question (`readers/image_table.py`), at the address that VLMEvalKit's
vlmeval/dataset/image_mcq.py gives. Tables without answers, such as MMBench_TEST_EN.tsv, cannot be scored here.
"""

import logging
import string
from collections import Counter
from pathlib import Path
from typing import Any

from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.image_table import image_table
from bridgelab.benchmark.readers.multiple_choice import choice_example, letter_index

VARIANTS = ("vanilla", "circular")
ROTATION = 1_000_000  # what VLMEvalKit adds to the index of a question for each further order of its options
CATEGORIES = ("category", "l2-category", "l2_category")
log = logging.getLogger(__name__)


class VlmEvalKit(EvaluationOnly):
    """A table's questions with two or more options.

    Args:
        root: the folder that holds the table, and the folder that keeps its images.
        name: the benchmark's name in the record.
        prompt: what the language model reads: `{question}`, which is required, `{options}` as '(A) … (B) …', and `{hint}`,
            N/A if the question has none.
        file: the table's name.
        type_column: the column with the kind of question, such as category or l2-category; if the table lacks it, its
            questions are of one kind.
        images_per_question: questions with another number of images are left out, since a bridge takes one number.
        variant: `vanilla`, or `circular` for MMBench's circular accuracy too.
    Raises:
        ValueError: if the prompt lacks `{question}`, or there is no such variant.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        prompt: str,
        file: str,
        type_column: str = "category",
        images_per_question: int = 1,
        variant: str = "vanilla",
    ):
        super().__init__(root, name=name, prompt=prompt)
        self.file = file
        self.type_column = type_column
        self.images_per_question = images_per_question
        self.variant = choose(variant, VARIANTS, "variant")

    def read(self) -> list[Example]:
        """Return all questions in the table's order.

        Raises:
            FileNotFoundError: if the table is missing.
            ValueError: if a row is malformed, or no question has the number of images.
        """
        path = self.root / self.file
        folder = self.root / path.stem
        rows = image_table(path, folder, ("question", "answer"), "the address that VLMEvalKit's code gives")
        if not rows:
            raise ValueError(f"{path} holds 0 questions with an image. Get the table again.")
        counts = Counter(len(row["image"]) for row in rows)
        if not counts[self.images_per_question]:
            raise ValueError(
                f"{path} holds 0 questions with {self.images_per_question} images, but with {', '.join(map(str, sorted(counts)))}. "
                "Set benchmark.images_per_question to one of these."
            )
        if left_out := sum(counts.values()) - counts[self.images_per_question]:
            log.info("%s: %d questions have another number of images and are left out", path.name, left_out)
        examples = []
        for row in rows:
            if len(row["image"]) != self.images_per_question:
                continue
            try:
                examples.append(self._example(row))
            except ValueError as error:
                raise ValueError(
                    f"{path}, row with index {row['index']}: {error}. Each needs question, answer (a letter) and two or more "
                    "options under A, B, …. Tables without answers, such as MMBench's TEST, can't be scored here: use its DEV."
                ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by both levels of categories, and circular accuracy if it is asked for."""
        by = ("type", "family")
        circular = GroupAccuracy(groups={"circular_accuracy": "group"}, by=by)
        return {"choice": circular if self.variant == "circular" else Accuracy(by=by)}

    def _example(self, row: dict[str, Any]) -> Example:
        letters = [letter for letter in string.ascii_uppercase if (row.get(letter) or "").strip()]
        right = string.ascii_uppercase[letter_index(row["answer"], len(string.ascii_uppercase))]
        if right not in letters:
            raise ValueError(
                f"answer={row['answer']!r} must be one of the options' letters, {', '.join(letters)}"
            )
        tags: dict[str, str | int] = {}
        for column in CATEGORIES:
            if row.get(column):
                tags["type" if column == self.type_column else "family"] = row[column]
        if self.variant == "circular":
            index = row["index"]
            tags["group"] = row.get("g_index") or (str(int(index) % ROTATION) if index.isdecimal() else index)
        return choice_example(
            row["index"],
            row["image"],
            prompt=self.prompt,
            question=row["question"],
            options=[row[letter] for letter in letters],
            answer=letters.index(right),  # by its letter, since a table may leave one out
            hint=row.get("hint"),
            tags=tags,
        )
