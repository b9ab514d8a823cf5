"""ScienceQA: school questions with options, some about a picture.

Source: Lu et al. 2022, "Learn to Explain" (NeurIPS, arXiv:2209.09513).
Metric: accuracy of the likeliest option. Published models name the option's letter. If options have equal texts, all of the question's
have their letters, as (B) 5. Breakdowns are the columns of the authors' table: type (NAT, SOC, LAN), hint=yes (TXT), picture=yes (IMG),
context=none (NO), grades (G1-6, G7-12).
Tags: type (the subject), topic, hint, picture, context, grades. Licence: CC-BY-NC-SA-4.0.
Size: 12,726 / 4,241 / 4,241 questions, of which 6,218 / 2,097 / 2,017 have a picture.

Layout of lupantech/ScienceQA's folder `data/scienceqa`, as its code reads it (360b71cb6a36: models/run_gpt3.py and base_prompt.py,
tools/evaluate_acc.py, generate_caption.py and download.sh):

    problems.json           {<id>: {question, choices, answer (an index), hint, image or null, grade, subject, topic}}
    pid_splits.json         {train: [<id>], val: [<id>], test: [<id>]}
    images/<split>/<id>/<image>
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import layout_error, read_json, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.multiple_choice import choice_example

LAYOUT = "problems.json, pid_splits.json, images/<split>/<id>/<image>"
CONTEXTS = {
    ("no", "no"): "none",
    ("yes", "no"): "text",
    ("no", "yes"): "image",
    ("yes", "yes"): "text and image",
}  # (hint, picture)


class ScienceQa:
    """ScienceQA's questions with a picture, and with `blank` also those without.

    Args:
        root: the folder that holds both files and `images`.
        name: the benchmark's name in the record.
        prompt: what the language model reads: `{question}`, which is required, `{options}` as '(A) … (B) …', and
            `{hint}`, N/A if the question has none.
        blank: an image file under `root` to show with questions without a picture; None leaves those questions out.
    Raises:
        ValueError: if the prompt lacks `{question}`.
    """

    splits = ("train", "val", "test")
    kinds = ("choice",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "science_qa",
        prompt: str = "Question: {question} Context: {hint} Options: {options} Answer:",
        blank: str | None = None,
    ):
        fill(prompt, "question", "")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.blank = None if blank is None else str(self.root / blank)

    def examples(self, split: str, kind: str = "choice") -> list[Example]:
        """Return all examples of a split in the order of `pid_splits.json`.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, or a question is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        problems, ids = self._load("problems.json"), self._load("pid_splits.json")
        examples = []
        for number in self._ids_of(ids, split):
            try:
                example = self._example(split, number, problems[number])
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise ValueError(
                    f"{self.root}/problems.json: question {number} is malformed ({type(error).__name__}: {error}). Each "
                    "needs question, choices, answer, hint, image, grade, subject and topic. Get the file again."
                ) from error
            examples += [example] if example else []
        return check_examples(examples, f"{self.root}/problems.json ({split})")

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy, by subject, context and grade."""
        return {"choice": Accuracy(by=("type", "hint", "picture", "context", "grades"))}

    def _load(self, name: str) -> dict[str, Any]:
        path = require(
            self.root / name,
            LAYOUT,
            "Get the data from github.com/lupantech/ScienceQA, or set benchmark.root.",
        )
        content = read_json(path, "one object")
        if not isinstance(content, dict):
            raise layout_error(path, content, "one object")
        return content

    def _ids_of(self, ids: dict[str, Any], split: str) -> list[str]:
        numbers = ids.get(split)
        if not isinstance(numbers, list):
            raise ValueError(
                f"{self.root}/pid_splits.json: {split}={numbers!r} must be a list of ids. Get the file again."
            )
        return numbers

    def _example(self, split: str, number: str, problem: dict[str, Any]) -> Example | None:
        """Return a question's example, or None if it has no picture and there is no blank one."""
        options, answer, picture = problem["choices"], problem["answer"], problem["image"]
        if not picture and not self.blank:
            return None
        image = under(self.root, "images", split, number, picture) if picture else str(self.blank)
        hint_and_picture = ("yes" if problem["hint"] else "no", "yes" if picture else "no")
        return choice_example(
            f"{split}-{number}",
            (image,),
            prompt=self.prompt,
            question=problem["question"],
            options=options,
            answer=answer,
            hint=problem["hint"],
            tags={
                "type": problem["subject"],
                "topic": problem["topic"],
                "hint": hint_and_picture[0],
                "picture": hint_and_picture[1],
                "context": CONTEXTS[hint_and_picture],
                "grades": "1-6" if int(problem["grade"].removeprefix("grade")) <= 6 else "7-12",
            },
        )
