"""A-OKVQA: questions about photographs that need knowledge of the world, with options and with free answers.

Source: Schwenk et al. 2022, "A-OKVQA" (ECCV, arXiv:2206.01718).
Metric: for kind choice, accuracy of the likeliest option; for kind answer, `DirectAnswer`: min(1, n / 3) over ten people's
answers. Questions marked `difficult_direct_answer` are left out of kind answer, as in the authors'
evaluation/eval_predictions.py (42e8c44ff40d; the first version, 0438d33a3eb1, left them out of kind choice instead).
Prompts: `prompt` for free answers, `choice_prompt` for options. Tags: none are published.
Licence: Apache-2.0; COCO 2017's photographs under their owners' terms.

Layout of aokvqa_v1p0.tar.gz, as allenai/aokvqa's load_aokvqa.py and README.md (83786de0b24c) have it:

    aokvqa_v1p0_<part>.json             [{question_id, image_id, question, choices: [4 str], correct_choice_idx,
                                        direct_answers: [10 str], difficult_direct_answer, split, rationales}]
    <images>/<part>2017/000000000042.jpg     COCO's train2017.zip and val2017.zip
"""

from pathlib import Path

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.example import Example, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.direct_answer import DirectAnswer
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.multiple_choice import choice_example
from bridgelab.benchmark.readers.published_questions import Entry, PublishedQuestions
from bridgelab.benchmark.vqav2 import most_frequent_first

LAYOUT = "aokvqa_v1p0_<part>.json, <images>/<part>2017/<image_id in 12 digits>.jpg"


class AOkvqa(PublishedQuestions):
    """A-OKVQA's questions, as multiple choice and as direct answer.

    Args (the others are those of `PublishedQuestions`):
        root: the folder that holds the annotations.
        images: the folder of COCO's train2017 and val2017, relative to root.
        choice_prompt: what the language model reads for kind choice: `{question}` and `{options}` as '(A) … (B) …'.
    Raises:
        ValueError: as `PublishedQuestions`, or if `choice_prompt` lacks `{question}`.
    """

    kinds = ("choice", "answer")
    needs = "question_id, image_id, question, choices, correct_choice_idx, direct_answers and difficult_direct_answer"

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train",
        val: str | None = None,
        test: str | None = "val",
        val_share: float = 0.05,
        seed: int = 0,
        images: str = ".",
        name: str = "a_okvqa",
        prompt: str = "{question}",
        choice_prompt: str = "{question} {options}",
    ):
        super().__init__(
            root, name=name, prompt=prompt, train=train, val=val, test=test, val_share=val_share, seed=seed
        )
        fill(choice_prompt, "question", "")
        self.images = self.root / images
        self.choice_prompt = choice_prompt

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy over options, and the score of direct answers."""
        return {"choice": Accuracy(), "answer": DirectAnswer()}

    def read(self, part: str) -> tuple[Path, list[Entry]]:
        """Return the file of a part, and its entries."""
        path = require(
            self.root / f"aokvqa_v1p0_{part}.json",
            LAYOUT,
            "Get aokvqa_v1p0.tar.gz as github.com/allenai/aokvqa says, or set benchmark.root.",
        )
        return path, read_list(path)

    def image(self, part: str, entry: Entry) -> str:
        """Return the absolute path of an entry's image."""
        number = entry["image_id"]
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"image_id={number!r} must be a number")
        return under(self.images, f"{part.partition('_')[0]}2017", f"{number:012d}.jpg")

    def example(self, name: str, image: str, entry: Entry, kind: str) -> Example | None:
        """Return a question's example; of kind answer, None if it is too difficult for a direct answer."""
        if kind == "choice":
            return choice_example(
                str(entry["question_id"]),
                (image,),
                prompt=self.choice_prompt,
                question=entry["question"],
                options=entry["choices"],
                answer=entry["correct_choice_idx"],
                tags={},
            )
        difficult = entry["difficult_direct_answer"]
        if not isinstance(difficult, bool):  # a text "false" would leave the question out
            raise TypeError(f"difficult_direct_answer={difficult!r} must be true or false")
        if difficult:
            return None
        return Example(
            id=str(entry["question_id"]),
            images=(image,),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=most_frequent_first(entry["direct_answers"]),
            kind="answer",
        )
