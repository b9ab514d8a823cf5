"""ScienceQA: school questions with options, some about a picture.

Source: Lu et al. 2022, "Learn to Explain" (NeurIPS, arXiv:2209.09513).
Metric: accuracy over questions, the answer being the option that is likelier as text (published models name its
letter; options of the same text are told apart by theirs, as (B) 5), by the columns of the authors' table: type (NAT, SOC,
LAN), hint=1 (TXT), picture=1 (IMG), context=none (NO), grades (G1-6, G7-12). Prompt: of `{question}`, `{hint}` and `{options}`,
by default as the authors' QCM.
Tags: type (the subject), topic, hint, picture, context, grades. Licence: CC-BY-NC-SA-4.0.
Size: 12,726 / 4,241 / 4,241 questions, of which 6,218 / 2,097 / 2,017 have a picture.

Layout, as lupantech/ScienceQA has it in its folder `data/scienceqa`, read off its code; its files were not at hand:

    problems.json           {<id>: {question, choices, answer (a place), hint, image or null, grade, subject, topic}}
    pid_splits.json         {train: [<id>], val: [<id>], test: [<id>]}
    images/<split>/<id>/<image>
"""

import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import another_layout, read_json
from bridgelab.benchmark.example import Example, check_examples, choose, fill, require, under
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric

LAYOUT = "problems.json, pid_splits.json, images/<split>/<id>/<image>"
CONTEXTS = {(0, 0): "none", (1, 0): "text", (0, 1): "image", (1, 1): "text and image"}  # hint, picture


class ScienceQa:
    """ScienceQA's questions with a picture, and given a blank one, those without.

    Args:
        root: the folder that holds both files and `images`.
        name: what the run record calls this benchmark.
        prompt: what the language model reads; `{question}`, `{options}` as '(A) … (B) …', and `{hint}`, N/A where there
            is none. The first must be there.
        blank: an image file, under `root`, to show where a question has none; null leaves those questions out.
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
        """All examples of a split, in the order of `pid_splits.json`.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, or a question is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        problems, parts = self._load("problems.json"), self._load("pid_splits.json")
        examples = []
        for number in self._of(parts, split):
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
        """Accuracy by subject, context and grade."""
        return {"choice": Accuracy(by=("type", "hint", "picture", "context", "grades"))}

    def _load(self, name: str) -> dict[str, Any]:
        path = require(
            self.root / name,
            LAYOUT,
            "Get the data from github.com/lupantech/ScienceQA, or set benchmark.root.",
        )
        content = read_json(path, "one object")
        if not isinstance(content, dict):
            raise another_layout(path, content, "one object")
        return content

    def _of(self, parts: dict[str, Any], split: str) -> list[str]:
        numbers = parts.get(split)
        if not isinstance(numbers, list):
            raise ValueError(
                f"{self.root}/pid_splits.json: {split}={numbers!r} must be a list of ids. Get the file again."
            )
        return numbers

    def _example(self, split: str, number: str, problem: dict[str, Any]) -> Example | None:
        options, answer, shown = problem["choices"], problem["answer"], problem["image"]
        if not isinstance(options, list):
            raise TypeError(f"choices={options!r} must be a list")
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
            raise ValueError(f"answer={answer!r} must be a place among {len(options)} choices")
        if not shown and not self.blank:
            return None
        image = under(self.root, "images", split, number, shown) if shown else str(self.blank)
        lettered = [
            f"({letter}) {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)
        ]
        # Options of the same text are told apart by their letters, since a place among them is what is right.
        times = Counter(options)
        choices = [lettered[k] if times[option] > 1 else option for k, option in enumerate(options)]
        asked = {
            "question": problem["question"],
            "hint": problem["hint"] or "N/A",
            "options": " ".join(lettered),
        }
        context = (int(bool(problem["hint"])), int(bool(shown)))
        return Example(
            id=f"{split}-{number}",
            images=(image,),
            # All at once: a question may hold braces of its own.
            prompt=re.sub(r"\{(question|hint|options)\}", lambda found: asked[found[1]], self.prompt),
            answers=(choices[answer],),
            kind="choice",
            tags={
                "type": problem["subject"],
                "topic": problem["topic"],
                "hint": context[0],
                "picture": context[1],
                "context": CONTEXTS[context],
                "grades": "1-6" if int(problem["grade"].removeprefix("grade")) <= 6 else "7-12",
            },
            choices=tuple(choices),
        )
