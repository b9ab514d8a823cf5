"""VQAv2 (Goyal et al. 2017, arXiv:1612.00837), and the benchmarks published in its layout: OK-VQA and TextVQA.

Metric: VQA accuracy, `current`, `older` or `textvqa`, or plain accuracy (`benchmark.variant`). Report the variant with a number:
the same 5,000 answers gave 98.45 (current) and 93.69 (older). TextVQA's published numbers are by `textvqa`, its own code.
Tags, if published: `type`, the answer type (yes/no, number,
other), and `family`, the question type (what color is the, …).
Licence: VQAv2's and TextVQA's annotations CC-BY-4.0, OK-VQA's not stated in its files; COCO's and OpenImages' photographs
under their owners' terms.

Layout, with the fields and the names of images that GT-Vision-Lab/VQA's PythonHelperTools/vqaDemo.py (c4e6a0e4e84b) reads, and the
names of files in QwenLM/Qwen-VL's eval_mm/evaluate_vqa.py (371c034ddb13); `<part>` is train2014 or val2014:

    v2_OpenEnded_mscoco_<part>_questions.json   {questions: [{question_id, image_id, question}]}
    v2_mscoco_<part>_annotations.json           {annotations: [{question_id, image_id, question_type, answer_type,
                                                 answers: [{answer, answer_confidence, answer_id}]}]}
    <part>/COCO_<part>_000000000042.jpg

OK-VQA names its files the same way, without v2_. TextVQA has one file, {data: [{question_id, image_id, question, answers: [str]}]}, and
images in train_images (haotian-liu/LLaVA's scripts/v1_5/eval/textvqa.sh, 4241f08c6368).
The hub's copies have the columns question_id, question, image and answers (in either form), and if published
image_id, question_type and answer_type. Parts without answers (test, testdev) cannot be scored here.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import layout_error, read_json, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.vqa_accuracy import EMPTY_ANSWER, PLAIN, VARIANTS, VqaAccuracy
from bridgelab.benchmark.splits import PublishedSplits

Entry = dict[str, Any]


class Vqav2:
    """Questions about photographs, each answered by ten people.

    Args:
        root: the folder that holds the files; with `hub`, the folder that keeps the download.
        train: the published part to train on, or None; for this and the next four see `PublishedSplits`.
        val: the part to search on, or None to hold out a share of train's images.
        test: the part to compare bridges on.
        val_share: share of train's images to hold out.
        seed: seed of the choice of these images.
        questions: path of the questions file; `{part}` stands for the part's name.
        annotations: path of the answers file, or None if the questions file has the answers, as TextVQA's.
        image: path of an image; `{part}` and `{image_id}` are filled in.
        hub: a data set's name on the hub, or a folder of parquet files, to read instead of the files. Parts are then the
            hub's splits.
        revision: revision of the hub's repository.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
        variant: variant of the metric, see `metrics/vqa_accuracy.py`; `plain` for plain accuracy, which suits questions
            with fewer than four answers.
    Raises:
        ValueError: if a template lacks its placeholder, there is no such variant, or as `PublishedSplits`.
    """

    kinds = ("answer",)

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train2014",
        val: str | None = None,
        test: str | None = "val2014",
        val_share: float = 0.02,
        seed: int = 0,
        questions: str = "v2_OpenEnded_mscoco_{part}_questions.json",
        annotations: str | None = "v2_mscoco_{part}_annotations.json",
        image: str = "{part}/COCO_{part}_{image_id:012d}.jpg",
        hub: str | None = None,
        revision: str | None = None,
        name: str = "vqav2",
        prompt: str = "{question}",
        variant: str = "current",
    ):
        fill(prompt, "question", "")
        choose(variant, (*VARIANTS, PLAIN), "variant")
        for key, template in (("questions", questions), ("annotations", annotations)):
            if template is not None and "{part}" not in template:
                raise ValueError(
                    f"{key}={template!r} must hold {{part}}, which stands for the part's name. Set benchmark.{key}."
                )
        try:
            image.format(part="", image_id=0)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"image={image!r} can't be filled in ({error}): it may hold {{part}} and {{image_id}}. Set benchmark.image."
            ) from error
        self.root = Path(root).resolve()
        self.published = PublishedSplits(train=train, val=val, test=test, val_share=val_share, seed=seed)
        self.questions = questions
        self.annotations = annotations
        self.image = image
        self.hub = hub
        self.revision = revision
        self.name = name
        self.prompt = prompt
        self.variant = variant

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the published parts make."""
        return self.published.names

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of a split in the file's order, each with its most frequent answer first.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, an annotation is malformed, or an image is in two splits.
        """
        part = self.published.part(split)
        choose(kind, self.kinds, "kind")
        source, entries = self._from_hub(part) if self.hub else self._from_files(part)
        # The hub's OK-VQA has no image_id: there the path of the image file, which holds its hash, identifies it.
        images = [str(entry.get("image_id", entry.get("image"))) for entry in entries]
        examples = []
        for entry, selected in zip(entries, self.published.select(split, images), strict=True):
            if selected:
                try:
                    examples.append(self._example(part, entry))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{source}: question {entry.get('question_id')} is malformed ({type(error).__name__}: {error}). "
                        "Each needs question_id, image, question and answers. Parts without answers, such as test, cannot be "
                        "scored here: use another."
                    ) from error
        return check_examples(examples, source)

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return VQA accuracy or plain accuracy, by answer type and question type."""
        by = ("type", "family")
        plain = self.variant == PLAIN
        return {"answer": Accuracy(by=by) if plain else VqaAccuracy(variant=self.variant, by=by)}

    def _from_hub(self, part: str) -> tuple[str, list[Entry]]:
        rows = hub_rows(str(self.hub), part, self.root / "hub", revision=self.revision)
        return f"{self.hub} {part}", rows

    def _from_files(self, part: str) -> tuple[str, list[Entry]]:
        questions_path = self._file(self.questions, part)
        if self.annotations is None:
            return str(questions_path), _load(questions_path, "data")
        answers_path = self._file(self.annotations, part)
        answers = {entry["question_id"]: entry for entry in _load(answers_path, "annotations")}
        questions = _load(questions_path, "questions")
        unanswered = [entry["question_id"] for entry in questions if entry["question_id"] not in answers]
        if unanswered or len(questions) < len(answers):
            raise ValueError(
                f"{answers_path} answers {len(answers)} questions, and {questions_path} asks {len(questions)}, "
                f"{len(unanswered)} of which have no answers, such as {unanswered[:3]}: both files must be of one part. Get both "
                "again."
            )
        return str(answers_path), [{**answers[entry["question_id"]], **entry} for entry in questions]

    def _file(self, template: str, part: str) -> Path:
        layout = ", ".join(filter(None, (self.questions, self.annotations, self.image)))
        fix = f"Unpack {self.name} there, or set benchmark.root to its folder, or set benchmark.hub."
        return require(self.root / template.replace("{part}", part), layout, fix)

    def _example(self, part: str, entry: Entry) -> Example:
        if self.hub:
            image = entry["image"]
        else:
            image = under(self.root, self.image.format(part=part, image_id=entry["image_id"]))
        published = {"type": entry.get("answer_type"), "family": entry.get("question_type")}
        return Example(
            id=str(entry["question_id"]),
            images=(image,),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=most_frequent_first(entry["answers"]),
            kind="answer",
            tags={tag: value for tag, value in published.items() if value},
        )


def most_frequent_first(answers: list[Entry] | list[str]) -> tuple[str, ...]:
    """Return people's answers with repetitions, the most frequent first, since the first is the training target.

    Strings keep the blanks at their ends, which the older metric distinguishes. An empty or blank answer is prefixed by
    `EMPTY_ANSWER`, which the metric removes. Equal answers of two people count twice, also if annotations lack
    `answer_id`. (The official code compares whole entries, and without `answer_id` it loses both.)

    Args:
        answers: strings, or entries that hold one under `answer`.
    Raises:
        TypeError: if this is not a list of these.
        ValueError: if the list is empty.
    """
    if not isinstance(answers, list):
        raise TypeError(f"answers={answers!r} must be a list, not {type(answers).__name__}")
    texts = [answer["answer"] if isinstance(answer, dict) else answer for answer in answers]
    if not texts:
        raise ValueError("answers=[] must hold at least one")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"answers={texts!r} must be strings")
    times = Counter(text.strip() for text in texts)
    ordered = sorted(texts, key=lambda text: (-times[text.strip()], text != text.strip()))
    return tuple(text if text.strip() else EMPTY_ANSWER + text for text in ordered)


def _load(path: Path, kind: str) -> list[Entry]:
    """Return the file's entries, each of which has a question_id of its own."""
    expected = f"a list under {kind!r}, of entries with a question_id"
    content = read_json(path, expected)
    try:
        entries = content[kind]
        if not entries:
            raise ValueError("0 entries")
        (name, times), *_ = Counter(entry["question_id"] for entry in entries).most_common(1)
    except (KeyError, TypeError, ValueError) as error:
        raise layout_error(path, content, expected, error) from error
    if times > 1:
        raise ValueError(
            f"{path}: question_id {name!r} occurs {times} times, and must be unique. Check that the file is complete."
        )
    return entries
