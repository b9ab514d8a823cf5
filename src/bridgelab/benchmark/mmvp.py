"""MMVP: questions about pairs of photographs that CLIP takes for the same. Evaluation only.

Source: Tong et al. 2024, "Eyes Wide Shut?" (CVPR, arXiv:2401.06209).
Metric: `GroupAccuracy`: the share of pairs with both questions right, which the paper reports, and accuracy over questions.
A question is right if the right option's text is the likelier one; the authors' scripts/gpt_grader.py (05081e9fb3f9) counts
pairs the same way and has GPT-4 judge free answers. Four answers are swapped in the published file (tsb0601/MMVP issue 30);
`variant=corrected` swaps them back, as lmms-eval 0.7.3 does.
Tags: pair, and group, which is the same. The nine visual patterns are not in the file. Licence: MIT.

Layout of the hub's MMVP/MMVP, as tsb0601/MMVP's README.md (070992ef088f) and scripts/evaluate_mllm.py (4d6eaeb5b641) read it:

    Questions.csv           columns Index, Question, Options '(a) … (b) …', Correct Answer '(a)'; row n is about image n
    MMVP Images/1.jpg, …, MMVP Images/300.jpg
"""

import csv
import io
import re
from pathlib import Path

from bridgelab.benchmark.annotations import read_text, require, under
from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.multiple_choice import choice_example, letter_index

LAYOUT = "Questions.csv, MMVP Images/<number>.jpg"
VARIANTS = ("published", "corrected")
CORRECTED = {99: "b", 100: "a", 279: "b", 280: "a"}  # number of the question -> its right letter
COLUMNS = ("Question", "Options", "Correct Answer")
OPTION = re.compile(r"\(([a-z])\)\s*(.*?)\s*(?=\([a-z]\)|$)", re.DOTALL)


class Mmvp(EvaluationOnly):
    """MMVP's questions, in pairs of one question about two photographs.

    Args:
        root: the folder that holds the file and the images' folder.
        name: the benchmark's name in the record.
        prompt: what the language model reads: `{question}`, which is required, and `{options}` as '(A) … (B) …'.
        variant: `published`, or `corrected`, with the four swapped answers put right.
    Raises:
        ValueError: if the prompt lacks `{question}`, or there is no such variant.
    """

    def __init__(self, root: str | Path, *, name: str, prompt: str, variant: str = "published"):
        super().__init__(root, name=name, prompt=prompt)
        self.variant = choose(variant, VARIANTS, "variant")

    def read(self) -> list[Example]:
        """Return all questions in the file's order.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if it is malformed.
        """
        path = require(self.root / "Questions.csv", LAYOUT, "Get the hub's MMVP/MMVP, or set benchmark.root.")
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        try:
            rows = list(reader)
        except csv.Error as error:
            raise ValueError(f"{path} can't be read ({error}). Get the file again.") from error
        if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}, but {', '.join(reader.fieldnames or ['none at all'])}. Get the file "
                "again."
            )
        examples = []
        for number, row in enumerate(rows, start=1):
            try:
                self._check_order(number, row, rows[0])
                examples.append(self._example(number, row))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{path}, question {number} is malformed ({error}): each needs Question, Options '(a) … (b) …' and Correct "
                    "Answer. Get the file again."
                ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy over pairs and over questions."""
        return {"choice": GroupAccuracy(groups={"pair_accuracy": "pair"}, sizes={"pair_accuracy": 2})}

    def _check_order(self, number: int, row: dict[str, str], first: dict[str, str]) -> None:
        """Check that a row's number, its first column, continues that of the first row: else it would be asked of another image."""
        begin, own = (next(iter(one.values())) or "" for one in (first, row))
        if begin.strip().isdecimal() and own.strip() != str(int(begin) + number - 1):
            raise ValueError(
                f"its number is {own!r} and must be {int(begin) + number - 1}, since row n is about image n"
            )

    def _example(self, number: int, row: dict[str, str]) -> Example:
        options = [text for _, text in OPTION.findall(row["Options"])]
        right = letter_index(row["Correct Answer"], len(options))
        if self.variant == "corrected" and number in CORRECTED:
            right = letter_index(CORRECTED[number], len(options))
        pair = str((number + 1) // 2)
        return choice_example(
            str(number),
            (under(self.root, "MMVP Images", f"{number}.jpg"),),
            prompt=self.prompt,
            question=row["Question"],
            options=options,
            answer=right,
            tags={"pair": pair, "group": pair},
        )
