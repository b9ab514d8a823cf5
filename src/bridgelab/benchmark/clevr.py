"""CLEVR v1.0 (Johnson et al. 2017, arXiv:1612.06890), and data in its layout, such as the built-in world.

Metric: accuracy, by type of question and by family; for captions CIDEr-D and the share of attributes that are right.
Tags: type, family, program_length, hops, objects. Licence: CC-BY-4.0.

Layout; `<part>` is train, val, or CoGenT's trainA, valA, valB:

    images/<part>/CLEVR_<part>_000000.png
    questions/CLEVR_<part>_questions.json
        {questions: [{image_filename, image_index, question, answer, program}]}
    scenes/CLEVR_<part>_scenes.json
        {scenes: [{image_index, objects, directions, relationships}]}
    captions/CLEVR_<part>_captions.json
        {captions: [{image_filename, image_index, prompt, captions: [str]}]}

The captions file is ours: CLEVR as released has no captions. A program's step names its function under `function` (the
release) or `type` (the generator's raw output). Answers may be strings, integers or booleans.
The release's test split has no answers and cannot be scored here.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.splits import PublishedSplits
from bridgelab.world.questions.families import HOPS
from bridgelab.world.scene import HALF_WIDTH, Object, Scene
from bridgelab.world.words import scene_words

LAYOUT = "images/<part>/, questions/CLEVR_<part>_questions.json, scenes/CLEVR_<part>_scenes.json"
Step = dict[str, Any]


class Clevr:
    """CLEVR's questions, and captions if the folder has them.

    Args:
        root: the folder that holds `images`, `questions` and `scenes`.
        train: the part to train on; for this and the next four see `PublishedSplits`.
        val: the part to search on, or None to hold out a share of train's images.
        test: the part to compare bridges on; the release's own `test` has no answers.
        val_share: share of train's images to hold out if val is None.
        seed: seed of the choice of these images.
        name: the benchmark's name in the record.
        question_prompt: what the language model reads; `{question}` stands for the question.
        caption_prompt: likewise; `{prompt}` stands for the prompt in the captions file.
    Raises:
        ValueError: if a prompt lacks its placeholder, or as `PublishedSplits`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train",
        val: str | None = None,
        test: str | None = "val",
        val_share: float = 0.05,
        seed: int = 0,
        name: str = "clevr",
        question_prompt: str = "{question}",
        caption_prompt: str = "{prompt}",
    ):
        fill(question_prompt, "question", "")
        fill(caption_prompt, "prompt", "")
        self.root = Path(root).resolve()
        self.published = PublishedSplits(train=train, val=val, test=test, val_share=val_share, seed=seed)
        self.name = name
        self.question_prompt = question_prompt
        self.caption_prompt = caption_prompt

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the published parts make."""
        return self.published.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """Questions ("answer"), and "caption" if there is a captions file."""
        has_captions = any((self.root / "captions").glob("CLEVR_*_captions.json"))
        return ("answer", "caption") if has_captions else ("answer",)

    def part(self, split: str) -> str:
        """Return the part that a split's files are named after.

        Raises:
            ValueError: if there is no such split.
        """
        return self.published.part(split)

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of a split in the file's order.

        Raises:
            FileNotFoundError: if a folder or a file is missing.
            ValueError: if there is no such split or kind, an annotation is malformed, or an image is in two splits.
        """
        examples = self.read(self.part(split), kind)
        selected = self.published.select(split, [e.images[0] for e in examples])
        return [example for example, kept in zip(examples, selected, strict=True) if kept]

    def read(self, part: str, kind: str) -> list[Example]:
        """Return all examples of a part.

        Raises:
            FileNotFoundError: if a folder or a file is missing.
            ValueError: if there is no such kind, or an annotation is malformed.
        """
        require(
            self.root / "questions", LAYOUT, "Unpack CLEVR_v1.0 there, or set benchmark.root to its folder."
        )
        choose(kind, self.kinds, "kind")
        describe_scene = self._scenes(part)
        path, to_example = {
            "answer": (self._file("questions", part), self._question),
            "caption": (self._file("captions", part), self._caption),
        }[kind]
        require(
            path,
            LAYOUT + ", captions/CLEVR_<part>_captions.json",
            "Get it, or name another part in benchmark.train, benchmark.val, benchmark.test.",
        )
        examples = []
        for number, entry in enumerate(read_list(path, path.parent.name)):
            try:
                examples.append(to_example(part, number, entry, describe_scene))
            except (KeyError, TypeError, IndexError) as error:
                raise ValueError(
                    f"{path}: entry {number} is malformed ({type(error).__name__}: {error}). Each needs an image, its text, "
                    "and its answer or captions. The release's test split has no answers: use val."
                ) from error
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by last function, family, program length and hops for questions, `CaptionMetric` for captions."""
        return {
            "answer": Accuracy(by=("type", "family", "program_length", "hops")),
            "caption": CaptionMetric(),
        }

    def _file(self, folder: str, part: str) -> Path:
        return self.root / folder / f"CLEVR_{part}_{folder}.json"

    def _image(self, part: str, entry: dict[str, Any]) -> tuple[str, ...]:
        return (under(self.root, "images", part, entry["image_filename"]),)

    def _scenes(self, part: str) -> Callable[[int], tuple[str, int]]:
        """Return a function from an image's index to its scene in words and its number of objects."""
        path = require(self._file("scenes", part), LAYOUT, "Unpack CLEVR_v1.0 there, or set benchmark.root.")
        scenes = {scene["image_index"]: scene for scene in read_list(path, "scenes")}

        @cache
        def describe_scene(index: int) -> tuple[str, int]:
            if index not in scenes:
                raise ValueError(
                    f"{path} has no scene for image_index {index}: each image needs one. Unpack it again."
                )
            scene = scene_from_clevr(scenes[index])
            return " . ".join(scene_words(scene)), len(scene.objects)

        return describe_scene

    def _question(self, part: str, number: int, entry: dict[str, Any], describe_scene: Callable) -> Example:
        words, objects = describe_scene(entry["image_index"])
        return Example(
            id=f"{part}-question-{number}",
            images=self._image(part, entry),
            prompt=fill(self.question_prompt, "question", entry["question"]),
            answers=(answer_text(entry["answer"]),),
            kind="answer",
            tags={**program_tags(entry["program"]), "objects": objects},
            words=words,
        )

    def _caption(self, part: str, number: int, entry: dict[str, Any], describe_scene: Callable) -> Example:
        words, objects = describe_scene(entry["image_index"])
        return Example(
            id=f"{part}-caption-{number}",
            images=self._image(part, entry),
            prompt=fill(self.caption_prompt, "prompt", entry["prompt"]),
            answers=tuple(entry["captions"]),
            kind="caption",
            tags={"type": "caption", "objects": objects},
            words=words,
        )


def answer_text(answer: str | int | bool) -> str:
    """Return an answer as CLEVR v1.0 writes it: True -> 'yes', 3 -> '3', strings unchanged."""
    return {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else str(answer)


def function(step: Step) -> str:
    """Return the function that a step names, under `function` (the release) or `type` (the raw generator)."""
    return step["function"] if "function" in step else step["type"]


def program_tags(program: list[Step]) -> dict[str, str | int]:
    """Return a question's tags, read off its functional program.

    Returns:
        type: the last function; compare_attribute for equal_<attribute>, compare_integer for the three on numbers.
        family: CLEVR's template file: zero_hop … five_hop by the number of relations, same_attribute, single_and,
            single_or, comparison, compare_integer.
        program_length: number of steps.
        hops: the largest number of relations and same-attribute steps on any path from a scene to the answer.
    """
    names = [function(step) for step in program]
    last = names[-1]
    if last in ("equal_integer", "less_than", "greater_than"):
        kind, family = "compare_integer", "compare_integer"
    elif last.startswith("equal_"):
        kind, family = "compare_attribute", "comparison"
    else:
        kind, family = last, _set_family(names)
    depth: list[int] = []
    for name, step in zip(names, program, strict=True):
        is_hop = name == "relate" or name.startswith("same_")
        depth.append(max((depth[k] for k in step["inputs"]), default=0) + is_hop)
    return {"type": kind, "family": family, "program_length": len(program), "hops": depth[-1]}


def _set_family(names: list[str]) -> str:
    if "union" in names:
        return "single_or"
    if "intersect" in names:
        return "single_and"
    if any(name.startswith("same_") for name in names):
        return "same_attribute"
    relations = names.count("relate")
    return HOPS[relations] if relations < len(HOPS) else f"{relations}_hop"


def scene_from_clevr(scene: dict[str, Any]) -> Scene:
    """Return a CLEVR scene in coordinates along its own `directions`: x to the right, y away from the camera.

    In CLEVR `right` and `behind` are not the ground's axes, so positions along them can exceed the built-in world's
    square by up to √2. Such a scene is shrunk to fit. Two objects may then share a column or a row, so on CLEVR the words
    are a reference, not a ceiling.
    """
    right, behind = scene["directions"]["right"], scene["directions"]["behind"]

    def along(direction: list[float], item: dict[str, Any]) -> float:
        return float(sum(d * c for d, c in zip(direction[:2], item["3d_coords"][:2], strict=True)))

    positions = [(along(right, item), along(behind, item)) for item in scene["objects"]]
    shrink = min(1.0, HALF_WIDTH / max((abs(c) for xy in positions for c in xy), default=HALF_WIDTH))
    return Scene(
        tuple(
            Object(
                shape=item["shape"],
                size=item["size"],
                color=item["color"],
                material=item["material"],
                x=x * shrink,
                y=y * shrink,
                rotation=float(item.get("rotation", 0.0)),
            )
            for item, (x, y) in zip(scene["objects"], positions, strict=True)
        ),
        image_index=scene["image_index"],
    )
