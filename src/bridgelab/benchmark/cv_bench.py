"""CV-Bench: counting, relations, depth and distance in photographs with ground truth. Evaluation only.

Source: Tong et al. 2024, "Cambrian-1" (NeurIPS, arXiv:2406.16860).
Metric: `CvBenchMetric`: accuracy of the likeliest option in 2D, in 3D and their mean.
Tags: type (count 788, relation 650, depth 600, distance 600), dimension (2D, 3D), source (ADE20K, COCO, Omni3D).
Licence: Apache-2.0.

Layout of the hub's nyu-visionx/CV-Bench, as its README.md has it (copied in ZTERobot/EmbodiedBrain1.0's
evaluation/src/cv_bench/README.md, f75bb5d74140), with the fields that lmms-eval's lmms_eval/tasks/cv_bench/utils.py
(9328c2f19350) reads. A `filename` is read with and without its folder img:

    test_2d.jsonl, test_3d.jsonl        JSON lines {idx, type, task, question, choices, answer '(A)', filename, source}
    img/2D/count/ade20k_10.png          made by its build_img.py
    test_2d.parquet, test_3d.parquet    the same with the column image, which `hub` reads
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.cv_bench_metric import CvBenchMetric
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly
from bridgelab.benchmark.readers.multiple_choice import choice_example, letter_index

LAYOUT = "test_2d.jsonl, test_3d.jsonl, img/…"
FILES = ("test_2d", "test_3d")
KEYS = {"idx": int, "type": str, "task": str, "question": str, "choices": list, "answer": str, "source": str}


class CvBench(EvaluationOnly):
    """CV-Bench's questions with two to six options.

    Args:
        root: the folder that holds the files and `img`; with `hub`, the folder that keeps the download.
        name: the benchmark's name in the record.
        prompt: what the language model reads: `{question}`, which is required, and `{options}` as '(A) … (B) …'.
        hub: the data set's name on the hub, or a folder of its parquet files, to read instead of the files.
        revision: revision of the hub's repository.
    Raises:
        ValueError: if the prompt lacks `{question}`.
    """

    def __init__(
        self, root: str | Path, *, name: str, prompt: str, hub: str | None = None, revision: str | None = None
    ):
        super().__init__(root, name=name, prompt=prompt)
        self.hub = hub
        self.revision = revision

    def read(self) -> list[Example]:
        """Return all questions, first those in 2D.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a question is malformed, or as `hub_rows`.
        """
        examples = []
        for row in self._from_hub() if self.hub else self._from_files():
            try:
                examples.append(self._example(row))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{self.hub or self.root}: question {row.get('idx')} is malformed ({type(error).__name__}: {error}). Each needs "
                    f"{', '.join(KEYS)}. Get the data set again."
                ) from error
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy in 2D, in 3D and their mean, and accuracy by task and source."""
        return {"choice": CvBenchMetric(by=("type", "source"))}

    def _from_files(self) -> list[dict[str, Any]]:
        fix = "Get the hub's nyu-visionx/CV-Bench and run its build_img.py, or set benchmark.root or benchmark.hub."
        rows = []
        for name in FILES:
            path = require(self.root / f"{name}.jsonl", LAYOUT, fix)
            for row in read_jsonl(path, {**KEYS, "filename": str}):
                file = row["filename"]
                image = under(self.root, file) if file.startswith("img/") else under(self.root, "img", file)
                rows.append({**row, "image": image})
        return rows

    def _from_hub(self) -> list[dict[str, Any]]:
        source = str(self.hub)
        if Path(source).is_dir():
            return [row for name in FILES for row in hub_rows(source, name, self.root)]
        return hub_rows(source, "test", self.root, config="default", revision=self.revision)

    def _example(self, row: dict[str, Any]) -> Example:
        return choice_example(
            str(row["idx"]),
            (row["image"],),
            prompt=self.prompt,
            question=row["question"],
            options=row["choices"],
            answer=letter_index(row["answer"], len(row["choices"])),
            tags={"type": row["task"].lower(), "dimension": row["type"], "source": row["source"]},
        )
