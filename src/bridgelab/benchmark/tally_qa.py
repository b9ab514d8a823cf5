"""TallyQA: how many? Simple questions need detection alone, complex ones attributes and relations too.

Source: Acharya et al. 2019, "TallyQA: Answering Complex Counting Questions" (AAAI, arXiv:1810.12440).
Metric: `CountMetric`: accuracy and RMSE, by simple and complex, which the authors report apart. Answers are 0 to 15.
Tags: type (simple, complex), source (where a question comes from: amt, imported_genome, …).
Licence: Apache-2.0; photographs of COCO and Visual Genome under their owners' terms.

Layout of tallyqa.zip, as manoja328/TallyQA_dataset's README.md (0949062c80f5) shows an entry:

    {train,test}.json       [{question_id, question, answer (int), image, image_id, issimple (bool), data_source}]
    <images>/<image>        VG_100K/…, VG_100K_2/…, train2014/COCO_train2014_…, val2014/COCO_val2014_…
"""

from pathlib import Path

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.example import Example, fill
from bridgelab.benchmark.metrics.count_metric import CountMetric
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.published_questions import Entry, PublishedQuestions

LAYOUT = (
    "{train,test}.json, <images>/VG_100K/…, <images>/VG_100K_2/…, <images>/train2014/…, <images>/val2014/…"
)


class TallyQa(PublishedQuestions):
    """TallyQA's questions, whose answers are numbers.

    Args (the others are those of `PublishedQuestions`):
        root: the folder that holds both files.
        images: the folder of the photographs' folders, relative to root.
    """

    needs = "question_id, question, answer, image and issimple"

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train",
        val: str | None = None,
        test: str | None = "test",
        val_share: float = 0.02,
        seed: int = 0,
        images: str = ".",
        name: str = "tally_qa",
        prompt: str = "{question}",
    ):
        super().__init__(
            root, name=name, prompt=prompt, train=train, val=val, test=test, val_share=val_share, seed=seed
        )
        self.images = self.root / images

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy and error of the counts, for simple and complex questions."""
        return {"answer": CountMetric(by=("type",))}

    def read(self, part: str) -> tuple[Path, list[Entry]]:
        """Return the file of a part, and its entries."""
        path = require(
            self.root / f"{part}.json",
            LAYOUT,
            "Get tallyqa.zip from github.com/manoja328/tallyqa, or set benchmark.root.",
        )
        return path, read_list(path)

    def image(self, part: str, entry: Entry) -> str:
        """Return the absolute path of an entry's image."""
        return under(self.images, entry["image"])

    def example(self, name: str, image: str, entry: Entry, kind: str) -> Example:
        """Return a question's example."""
        answer, simple = entry["answer"], entry["issimple"]
        if isinstance(answer, bool) or not isinstance(answer, int) or answer < 0:
            raise ValueError(f"answer={answer!r} must be a number of objects")
        if not isinstance(simple, bool):
            raise TypeError(f"issimple={simple!r} must be true or false")
        source = entry.get("data_source")
        return Example(
            id=str(entry["question_id"]),
            images=(image,),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=(str(answer),),
            kind="answer",
            tags={"type": "simple" if simple else "complex", **({"source": source} if source else {})},
        )
