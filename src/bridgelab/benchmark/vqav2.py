"""VQAv2 (Goyal et al. 2017, arXiv:1612.00837), and what is published in its form: OK-VQA and TextVQA.

Metric: VQA accuracy in the variant that the yaml names, or plain accuracy. Prompt: the yaml's. Tags: `type`, the published answer type
(yes/no, number, other), and `family`, the published question type (what color is the, …), where there are any.
Licence: VQAv2's and TextVQA's annotations CC-BY-4.0, OK-VQA's not stated in its files; COCO's and OpenImages' photographs
under their owners' terms. Size in questions: VQAv2 443,757 + 214,354, OK-VQA 9,009 + 5,046, TextVQA 34,602 + 5,000, of
which each trains on the first, less what is held out, and tests on the second.

Layout, with the fields that GT-Vision-Lab/VQA's code reads, `<part>` being train2014 or val2014; the names of files and
folders are from memory, so layout unverified:

    v2_OpenEnded_mscoco_<part>_questions.json   {questions: [{question_id, image_id, question}]}
    v2_mscoco_<part>_annotations.json           {annotations: [{question_id, image_id, question_type, answer_type,
                                                 answers: [{answer, answer_confidence, answer_id}]}]}
    <part>/COCO_<part>_000000000042.jpg

OK-VQA names the files alike. TextVQA has one file, {data: [{question_id, image_id, question, answers: [str]}]}.
The hub's copies have the columns question_id, question, image and answers (of either form), and where published
image_id, question_type and answer_type. Parts without answers (test, testdev) can't be scored here.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import another_layout, read_json
from bridgelab.benchmark.example import Example, check_examples, choose, fill, require, under
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.vqa_accuracy import NOTHING, PLAIN, VARIANTS, VqaAccuracy
from bridgelab.benchmark.splits import Parts

Entry = dict[str, Any]


class Vqav2:
    """Questions of photographs, each answered by ten people.

    Args:
        root: the folder that holds the files; with `hub`, where what it gives is kept.
        train: the published part trained on, None where there is none; see `Parts`, as the next four.
        val: the one searched on; None to hold a share of train's images out.
        test: the one that bridges are compared on.
        val_share: which share of train's images is held out.
        seed: of the choice of these images.
        questions: the questions' file, `{part}` being the part's name.
        annotations: the answers' file; None if the questions' file has them too, as TextVQA's.
        image: an image's file, of `{part}` and `{image_id}`.
        hub: the data set's name on the hub or a folder of parquet files, read in place of the files; then parts are
            the hub's splits.
        revision: of the hub's repository.
        name: what the run record calls this benchmark.
        prompt: what the language model reads; `{question}` stands for the question.
        variant: of the metric, see `vqa_accuracy`; `plain` for accuracy, where questions have fewer than four answers.
    Raises:
        ValueError: if a template lacks its placeholder, there is no such variant, or as `Parts` says.
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
        for which, template in (("questions", questions), ("annotations", annotations)):
            if template is not None and "{part}" not in template:
                raise ValueError(
                    f"{which}={template!r} must hold {{part}}, which stands for the part's name. Set benchmark.{which}."
                )
        try:
            image.format(part="", image_id=0)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"image={image!r} can't be filled in ({error}): it may hold {{part}} and {{image_id}}. Set benchmark.image."
            ) from error
        self.root = Path(root).resolve()
        self.parts = Parts(train=train, val=val, test=test, val_share=val_share, seed=seed)
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
        """The splits that the parts make."""
        return self.parts.splits

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """All examples of a split, in the file's order; the answer most given stands first.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, an annotation is malformed, or an image stands in two splits.
        """
        part = self.parts.of(split)
        choose(kind, self.kinds, "kind")
        source, entries = self._from_hub(part) if self.hub else self._from_files(part)
        # The hub's OK-VQA has no image_id: there the image itself, by its hash, is what names it.
        kept = self.parts.keep(split, [str(entry.get("image_id", entry.get("image"))) for entry in entries])
        examples = []
        for entry, belongs in zip(entries, kept, strict=True):
            if belongs:
                try:
                    examples.append(self._example(part, entry))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{source}: question {entry.get('question_id')} is malformed ({type(error).__name__}: {error}). "
                        "Each needs question_id, image, question and answers; parts without answers, such as test, can't "
                        "be scored here: use another."
                    ) from error
        return check_examples(examples, source)

    def metrics(self) -> dict[str, ExampleMetric]:
        """VQA accuracy, or plain accuracy, overall, by answer type and by question type."""
        by = ("type", "family")
        plain = self.variant == PLAIN
        return {"answer": Accuracy(by=by) if plain else VqaAccuracy(variant=self.variant, by=by)}

    def _from_hub(self, part: str) -> tuple[str, list[Entry]]:
        rows = hub_rows(str(self.hub), part, self.root / "hub", revision=self.revision)
        return f"{self.hub} {part}", rows

    def _from_files(self, part: str) -> tuple[str, list[Entry]]:
        asked = self._file(self.questions, part)
        if self.annotations is None:
            return str(asked), _load(asked, "data")
        path = self._file(self.annotations, part)
        answered = {entry["question_id"]: entry for entry in _load(path, "annotations")}
        entries = _load(asked, "questions")
        without = [entry["question_id"] for entry in entries if entry["question_id"] not in answered]
        if without or len(entries) < len(answered):
            raise ValueError(
                f"{path} answers {len(answered)} questions, and {asked} asks {len(entries)}, {len(without)} of which have "
                f"no answers, such as {without[:3]}: they must be of one part. Get both again."
            )
        return str(path), [{**answered[entry["question_id"]], **entry} for entry in entries]

    def _file(self, template: str, part: str) -> Path:
        layout = ", ".join(filter(None, (self.questions, self.annotations, self.image)))
        fix = f"Unpack {self.name} there, or set benchmark.root to where it is, or benchmark.hub."
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
            answers=most_given_first(entry["answers"]),
            kind="answer",
            tags={tag: value for tag, value in published.items() if value},
        )


def most_given_first(answers: list[Entry] | list[str]) -> tuple[str, ...]:
    """What people answered, as often as it was given, the most frequent first: it is the training target.

    Strings stay as they are, blanks at their ends included: the older metric tells them apart. An answer of nothing or of
    blanks has `NOTHING` before it, which the metric takes away. Two people's equal answers count twice, also where annotations
    lack `answer_id`, without which the official code, which compares whole entries, loses both.

    Args:
        answers: strings, or entries that hold one under `answer`.
    Raises:
        TypeError: if this is no list of these.
        ValueError: if there is none.
    """
    if not isinstance(answers, list):
        raise TypeError(f"answers={answers!r} must be a list, not {type(answers).__name__}")
    given = [answer["answer"] if isinstance(answer, dict) else answer for answer in answers]
    if not given:
        raise ValueError("answers=[] must hold at least one")
    if not all(isinstance(answer, str) for answer in given):
        raise TypeError(f"answers={given!r} must be strings")
    times = Counter(answer.strip() for answer in given)
    ordered = sorted(given, key=lambda a: (-times[a.strip()], a != a.strip()))
    return tuple(answer if answer.strip() else NOTHING + answer for answer in ordered)


def _load(path: Path, kind: str) -> list[Entry]:
    """The file's entries, each with a question_id of its own."""
    wanted = f"a list under {kind!r}, of entries with a question_id"
    content = read_json(path, wanted)
    try:
        entries = content[kind]
        if not entries:
            raise ValueError("0 entries")
        (name, times), *_ = Counter(entry["question_id"] for entry in entries).most_common(1)
    except (KeyError, TypeError, ValueError) as error:
        raise another_layout(path, content, wanted, error) from error
    if times > 1:
        raise ValueError(
            f"{path}: question_id {name!r} stands {times} times, and must be unique. Check that the file is whole."
        )
    return entries
