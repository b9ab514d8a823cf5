"""GQA (Hudson and Manning 2019, arXiv:1902.09506): questions made from the scene graphs of photographs.

Metric: `GqaMetric`, the official one, to the letter. Prompt: the yaml's. Tags: `type` (structural: verify, query, choose,
logical, compare), `family` (semantic: obj, attr, cat, rel, global), `detailed`, `steps` (as the official code counts
them), `program_length`, `hops`, `question_words`, `balanced`, `global_group`, `entailed`, and `objects` where the scene is
there. Licence: CC-BY-4.0; photographs of Visual Genome under their owners' terms. Size in balanced questions: 943,000
(train), 132,062 (val), 12,578 (testdev).

Layout, `<part>` being train_balanced, val_balanced, testdev_balanced or their like with `all`, `<tier>` its first word:

    questions/<part>_questions.json     {id: {question, answer, imageId, isBalanced, types, groups, entailed, semantic}}
    images/<imageId>.jpg
    sceneGraphs/<tier>_sceneGraphs.json optional {imageId: {width, height, objects: {id: {name, x, y, w, h, attributes,
                                        relations: [{name, object}]}}}}; testdev was published without
    eval/<tier>_choices.json            optional {id: {valid: [answer], plausible: [answer]}}; testdev likewise

Fields are those that GQA's eval.py reads; how the archives name their folders is from memory: layout unverified.
The hub's lmms-lab/GQA has the same fields as columns of its configs <part>_instructions, and images by id in
<part>_images; that `entailed` may be a string of ids there is from memory, too. Parts test and challenge have no answers.
"""

import re
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import another_layout, read_json
from bridgelab.benchmark.example import Example, check_examples, choose, fill, require, under
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.gqa_metric import GqaMetric
from bridgelab.benchmark.splits import Parts
from bridgelab.world.words import COLUMNS, ROWS

LAYOUT = "questions/<part>_questions.json, images/<imageId>.jpg"
# What the official code does not count as a step, since it only asks for the answer.
NO_STEP = ("exist", "query: name", "choose name")
SIDES = ("to the left of", "to the right of")  # of relations left out, since columns say them
Entry = dict[str, Any]


class Gqa:
    """GQA's questions, with the scene in words where its scene graphs are there.

    Args:
        root: the folder that holds `questions` and `images`; with `hub`, where what it gives is kept.
        train: the part trained on; see `Parts`, as the next four.
        val: the one searched on; None to hold a share of train's images out.
        test: the one that bridges are compared on; testdev_all for consistency, with many times the questions.
        val_share: which share of train's images is held out where val is None.
        seed: of the choice of these images.
        hub: the data set's name on the hub, or a folder of it.
        revision: of the hub's repository.
        name: what the run record calls this benchmark.
        prompt: what the language model reads; `{question}` stands for the question.
    Raises:
        ValueError: if the prompt lacks its placeholder, or as `Parts` says.
    """

    kinds = ("answer",)

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train_balanced",
        val: str | None = "val_balanced",
        test: str | None = "testdev_balanced",
        val_share: float = 0.05,
        seed: int = 0,
        hub: str | None = None,
        revision: str | None = None,
        name: str = "gqa",
        prompt: str = "{question}",
    ):
        fill(prompt, "question", "")
        self.root = Path(root).resolve()
        self.parts = Parts(train=train, val=val, test=test, val_share=val_share, seed=seed)
        self.hub = hub
        self.revision = revision
        self.name = name
        self.prompt = prompt

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the parts make."""
        return self.parts.splits

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """All examples of a split, in the file's order.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, an annotation is malformed, or an image stands in two splits.
        """
        part = self.parts.of(split)
        choose(kind, self.kinds, "kind")
        source, entries = self._from_hub(part) if self.hub else self._from_file(part)
        kept = self.parts.keep(split, [str(entry.get("imageId")) for entry in entries])
        scene = self._scenes(_tier(part))
        examples = []
        for entry, belongs in zip(entries, kept, strict=True):
            if belongs:
                try:
                    examples.append(self._example(entry, scene))
                except (LookupError, TypeError, ValueError, AttributeError) as error:
                    raise ValueError(
                        f"{source}: question {entry.get('id')} is malformed ({type(error).__name__}: {error}). Each needs "
                        "question, answer, imageId, isBalanced, types, groups, entailed and semantic; parts without answers, "
                        "such as test, can't be scored here: use testdev."
                    ) from error
        return check_examples(examples, source)

    def metrics(self) -> dict[str, ExampleMetric]:
        """GQA's own, with validity and plausibility where the test's choices are there."""
        return {"answer": GqaMetric(choices=self._choices)}

    @cached_property
    def _choices(self) -> dict[str, Any] | None:
        path = self.root / "eval" / f"{_tier(self.parts.of(self.splits[-1]))}_choices.json"
        return _load(path) if path.exists() else None

    def _from_file(self, part: str) -> tuple[str, list[Entry]]:
        path = require(
            self.root / "questions" / f"{part}_questions.json",
            LAYOUT,
            "Unpack GQA's questions1.2.zip and images.zip there, or set benchmark.root to where they are, or benchmark.hub.",
        )
        return str(path), [{**entry, "id": name} for name, entry in _load(path).items()]

    def _from_hub(self, part: str) -> tuple[str, list[Entry]]:
        def rows(what: str, images: tuple[str, ...]) -> list[Entry]:
            return hub_rows(
                str(self.hub),
                _tier(part),
                self.root / "hub",
                config=f"{part}_{what}",
                images=images,
                revision=self.revision,
            )

        shown = {row["id"]: row["image"] for row in rows("images", ("image",))}
        return f"{self.hub} {part}", [
            {**row, "image": shown.get(row.get("imageId"))} for row in rows("instructions", ())
        ]

    def _scenes(self, tier: str) -> Callable[[str], list[str]]:
        """An image's scene as phrases; none where it has no scene graph."""
        path = self.root / "sceneGraphs" / f"{tier}_sceneGraphs.json"
        graphs = _load(path) if path.exists() else {}

        @cache
        def described(image: str) -> list[str]:
            try:
                return graph_words(graphs[image]) if image in graphs else []
            except (LookupError, TypeError, AttributeError, ZeroDivisionError) as error:
                raise ValueError(
                    f"{path}: the scene graph of image {image} is malformed ({type(error).__name__}: {error}). Each needs width, "
                    "height and objects. Get the file again, or take it away."
                ) from error

        return described

    def _example(self, entry: Entry, scene: Callable[[str], list[str]]) -> Example:
        program, phrases = entry["semantic"], scene(str(entry["imageId"]))
        tags: dict[str, str | int] = {
            "type": entry["types"]["structural"],
            "family": entry["types"]["semantic"],
            "detailed": entry["types"]["detailed"],
            "steps": steps(program),
            "program_length": len(program),
            "hops": hops(program),
            "question_words": len(entry["question"].split()),
            "balanced": int(entry["isBalanced"]),
        }
        if group := entry["groups"]["global"]:
            tags["global_group"] = group
        if entailed := [other for other in _ids(entry["entailed"]) if other != entry["id"]]:
            tags["entailed"] = " ".join(entailed)
        if phrases:
            tags["objects"] = len(phrases)
        return Example(
            id=str(entry["id"]),
            images=(entry["image"] if self.hub else under(self.root, "images", f"{entry['imageId']}.jpg"),),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=(entry["answer"],),
            kind="answer",
            tags=tags,
            words=" . ".join(phrases) or None,
        )


def steps(program: list[Entry]) -> int:
    """How many of a program's operations are steps of reasoning, as GQA's eval.py counts them."""
    said = [f"{step['operation']}: {step['argument']}" for step in program]
    return sum(not any(name in each for name in NO_STEP) for each in said)


def hops(program: list[Entry]) -> int:
    """Relations one after another, at most, on any way from an object to the answer, as in CLEVR's tag."""
    depth: list[int] = []
    for step in program:
        moves = step["operation"] == "relate" or step["operation"].endswith(" rel")
        depth.append(max((depth[k] for k in step["dependencies"]), default=0) + moves)
    return max(depth, default=0)


def graph_words(graph: Entry) -> list[str]:
    """One phrase an object, such as 'black small cat c07 r13 on mat holding ball'.

    Columns and rows say where its middle is in the picture, in twentieths, rows from the bottom up, as in the
    built-in world. Sides are left out of its relations, and things of one name are not told apart there: the
    words are a reference, not a ceiling.
    """
    objects = graph["objects"]
    phrases = []
    for thing in objects.values():
        right = (thing["x"] + thing["w"] / 2) / graph["width"]
        up = (graph["height"] - thing["y"] - thing["h"] / 2) / graph["height"]
        at = [
            cells[min(max(int(c * len(cells)), 0), len(cells) - 1)]
            for cells, c in ((COLUMNS, right), (ROWS, up))
        ]
        related = [
            f"{relation['name']} {objects[relation['object']]['name']}"
            for relation in thing["relations"]
            if relation["name"] not in SIDES
        ]
        phrases.append(" ".join([*thing["attributes"], thing["name"], *at, *related]))
    return phrases


def _tier(part: str) -> str:
    return part.split("_")[0]


def _ids(written: list[str] | str) -> list[str]:
    """Ids of questions, which are digits, from a list or from its print-out."""
    return re.findall(r"\d+", written) if isinstance(written, str) else list(written)


def _load(path: Path) -> dict[str, Any]:
    """The file's object of objects."""
    wanted = "an object under each id"
    content = read_json(path, wanted)
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise another_layout(path, content, wanted)
    return content
