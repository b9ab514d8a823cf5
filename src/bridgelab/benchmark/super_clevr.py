"""Super-CLEVR: CLEVR's questions about scenes of vehicles, and about shifts between training and test.

Source: Li et al. 2023, "Super-CLEVR: A Virtual Benchmark to Diagnose Domain Robustness in Visual Reasoning" (CVPR,
arXiv:2212.00259).
Metric: accuracy, by CLEVR's types of question. The paper reports how far accuracy falls from one domain to another. Train on
one file of questions and test on another (`files`), such as a less or more redundant one; for the authors' other images set
root.
Tags: type (exist, count, query, compare_attribute, compare_integer) and family, read off the template and the answer;
program_length and hops if the file has programs. Licence: CC-BY-4.0.

Layout of the hub's RyanWW/Super-CLEVR, as Lizw14/Super-CLEVR's README.md (10a68b415bb3) names it, with the fields of its
output/superCLEVR_questions_5.json (5ff0112159ce); answers may be booleans and numbers:

    superCLEVR_questions_30k.json, superCLEVR_questions_30k_NoRedundant.json, superCLEVR_questions_30k_AllRedundant.json
                    {questions: [{image_filename, image_index, question, answer, template_filename, program}]}
    images/superCLEVR_new_000000.png
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.clevr import answer_text, program_tags
from bridgelab.benchmark.example import Example, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.published_questions import Entry, PublishedQuestions

LAYOUT = "superCLEVR_questions_30k.json, images/superCLEVR_new_<image_index>.png"
QUESTIONS = "superCLEVR_questions_30k.json"
FILES = MappingProxyType({"train": QUESTIONS, "val": QUESTIONS, "test": QUESTIONS})
INDICES = {"train": range(20_000), "val": range(20_000, 25_000), "test": range(25_000, 30_000)}
COMPARISONS = {"compare_integer": "compare_integer", "comparison": "compare_attribute"}


class SuperClevr(PublishedQuestions):
    """Super-CLEVR's questions in the authors' split of the images.

    Args:
        root: the folder that holds the files and the images' folder.
        files: each split's file, relative to root. A shift is a test file other than train's.
        images: the folder of the images.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
    Raises:
        ValueError: if the prompt lacks its placeholder.
    """

    needs = "image_filename, image_index, question, answer and template_filename"

    def __init__(
        self,
        root: str | Path,
        *,
        files: Mapping[str, str] = FILES,
        images: str = "images",
        name: str = "super_clevr",
        prompt: str = "{question}",
    ):
        parts: dict[str, str | None] = {split: split if split in files else None for split in INDICES}
        super().__init__(
            root, name=name, prompt=prompt, train=parts["train"], val=parts["val"], test=parts["test"]
        )
        self.files = dict(files)
        self.images = self.root / images

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by type, template, program length and hops."""
        return {"answer": Accuracy(by=("type", "family", "program_length", "hops"))}

    def read(self, part: str) -> tuple[Path, list[Entry]]:
        """Return the file of a part, and its entries about the part's images."""
        path = require(
            self.root / self.files[part],
            LAYOUT,
            "Get it from the hub's RyanWW/Super-CLEVR, or set benchmark.root and benchmark.files.",
        )
        entries = read_list(path, "questions")
        for number, entry in enumerate(entries):
            index = entry.get("image_index")
            if isinstance(index, bool) or not isinstance(index, int):  # else it would be in no split
                raise ValueError(
                    f"{path}: entry {number} is malformed (image_index={index!r} must be a number). Each needs {self.needs}. Get the "
                    "file again."
                )
        return path, [entry for entry in entries if entry["image_index"] in INDICES[part]]

    def image(self, part: str, entry: Entry) -> str:
        """Return the absolute path of an entry's image."""
        return under(self.images, entry["image_filename"])

    def example(self, name: str, image: str, entry: Entry, kind: str) -> Example:
        """Return a question's example."""
        return Example(
            id=name,
            images=(image,),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=(answer_text(entry["answer"]),),
            kind="answer",
            tags=question_tags(entry),
        )


def question_tags(entry: Entry) -> dict[str, str | int]:
    """Return a question's type and family from its template and answer, and the length of its program if it has one.

    Templates other than the two of comparisons end in the existence, the number, or an attribute of what they find.
    """
    template, answer = entry["template_filename"].removesuffix(".json"), answer_text(entry["answer"])
    found = "exist" if answer in ("yes", "no") else "count" if answer.isdecimal() else "query"
    tags: dict[str, str | int] = {"type": COMPARISONS.get(template, found), "family": template}
    if program := entry.get("program"):
        length = program_tags(program)
        tags |= {"program_length": length["program_length"], "hops": length["hops"]}
    return tags
