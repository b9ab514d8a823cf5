"""GQA (Hudson and Manning 2019, arXiv:1902.09506): questions generated from the scene graphs of photographs.

Metric: `GqaMetric`, the official exact match. By it 'Yes' and 'a dog' are wrong for 'yes' and 'dog'. Published numbers are
accuracy on testdev_balanced. Tags: `type` (structural: verify, query, choose, logical, compare), `family` (semantic: obj,
attr, cat, rel, global), `detailed`, `steps` (as the official code counts them), `program_length`, `hops`,
`question_words`, `balanced`, `global_group`, `entailed`, and `objects` if there is a scene graph. Licence: CC-BY-4.0;
photographs of Visual Genome under their owners' terms.

Layout of questions1.2.zip, images.zip, sceneGraphs.zip and eval.zip, each unpacked in a folder, with fields as the authors' page
cs.stanford.edu/people/dorarad/gqa/download.html describes them, and names of files as their eval.py reads them (in
codexxxl/GraphVQA's eval.py, 86a7ab0a5bae). `<part>` is train_balanced, val_balanced, testdev_balanced, or the same with
`all`; `<tier>` is its first word:

    questions/<part>_questions.json     {id: {question, answer, imageId, isBalanced, types, groups, entailed, semantic}}; of
                                        train_all a folder <part>_questions of files <part>_questions_0.json, …
    images/<imageId>.jpg
    sceneGraphs/<tier>_sceneGraphs.json optional {imageId: {width, height, objects: {id: {name, x, y, w, h, attributes,
                                        relations: [{name, object}]}}}}; not published for testdev
    eval/<tier>_choices.json            optional {id: {valid: [answer], plausible: [answer]}}; not published for testdev

The hub's lmms-lab-encoder/GQA has the same fields as columns of its configs `<part>_instructions`, and images by id in
`<part>_images` (lmms-eval's lmms_eval/tasks/gqa/utils.py, 12a4e4e37feb); `entailed` may be a list there or a string of ids.
Parts test and challenge have no answers.
"""

import re
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import layout_error, read_json, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.gqa_metric import GqaMetric
from bridgelab.benchmark.splits import PublishedSplits
from bridgelab.world.words import COLUMNS, ROWS

LAYOUT = "questions/<part>_questions.json, images/<imageId>.jpg"
NO_STEP = ("exist", "query: name", "choose name")  # operations that the official code does not count as steps
HORIZONTAL = (
    "to the left of",
    "to the right of",
)  # relations left out of the words, since columns express them
Entry = dict[str, Any]


class Gqa:
    """GQA's questions, with the scene in words if its scene graphs are present.

    Args:
        root: the folder that holds `questions` and `images`; with `hub`, the folder that keeps the download.
        train: the part to train on; for this and the next four see `PublishedSplits`.
        val: the part to search on, or None to hold out a share of train's images.
        test: the part to compare bridges on. testdev_all gives consistency too, and has many times the questions.
        val_share: share of train's images to hold out if val is None.
        seed: seed of the choice of these images.
        hub: the data set's name on the hub, or a folder of its parquet files, to read instead of the files.
        revision: revision of the hub's repository.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
    Raises:
        ValueError: if the prompt lacks its placeholder, or as `PublishedSplits`.
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
        self.published = PublishedSplits(train=train, val=val, test=test, val_share=val_share, seed=seed)
        self.hub = hub
        self.revision = revision
        self.name = name
        self.prompt = prompt

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the published parts make."""
        return self.published.names

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of a split in the file's order.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, an annotation is malformed, or an image is in two splits.
        """
        part = self.published.part(split)
        choose(kind, self.kinds, "kind")
        source, entries = self._from_hub(part) if self.hub else self._from_file(part)
        images = [str(entry.get("imageId")) for entry in entries]
        phrases_of = self._scene_phrases(_tier(part))
        examples = []
        for entry, selected in zip(entries, self.published.select(split, images), strict=True):
            if selected:
                try:
                    examples.append(self._example(entry, phrases_of))
                except (LookupError, TypeError, ValueError, AttributeError) as error:
                    raise ValueError(
                        f"{source}: question {entry.get('id')} is malformed ({type(error).__name__}: {error}). Each needs "
                        "question, answer, imageId, isBalanced, types, groups, entailed and semantic. Parts without answers, "
                        "such as test, cannot be scored here: use testdev."
                    ) from error
        return check_examples(examples, source)

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return GQA's own metric, with validity and plausibility if the test's choices file is present."""
        return {"answer": GqaMetric(choices=self._choices)}

    @cached_property
    def _choices(self) -> dict[str, Any] | None:
        path = self.root / "eval" / f"{_tier(self.published.part(self.splits[-1]))}_choices.json"
        return _load(path) if path.exists() else None

    def _from_file(self, part: str) -> tuple[str, list[Entry]]:
        path = self.root / "questions" / f"{part}_questions.json"
        chunks = sorted(path.with_suffix("").glob(f"{path.stem}_*.json"))
        fix = "Unpack GQA's questions1.2.zip and images.zip there, or set benchmark.root to their folder, or set benchmark.hub."
        files = chunks or [require(path, LAYOUT, fix)]
        return str(path), [{**entry, "id": name} for file in files for name, entry in _load(file).items()]

    def _from_hub(self, part: str) -> tuple[str, list[Entry]]:
        def rows(table: str, image_columns: tuple[str, ...]) -> list[Entry]:
            return hub_rows(
                str(self.hub),
                _tier(part),
                self.root / "hub",
                config=f"{part}_{table}",
                images=image_columns,
                revision=self.revision,
            )

        images = {row["id"]: row["image"] for row in rows("images", ("image",))}
        return f"{self.hub} {part}", [
            {**row, "image": images.get(row.get("imageId"))} for row in rows("instructions", ())
        ]

    def _scene_phrases(self, tier: str) -> Callable[[str], list[str]]:
        """Return a function from an image's id to its scene as phrases, an empty list without a scene graph."""
        path = self.root / "sceneGraphs" / f"{tier}_sceneGraphs.json"
        graphs = _load(path) if path.exists() else {}

        @cache
        def phrases_of(image: str) -> list[str]:
            try:
                return graph_phrases(graphs[image]) if image in graphs else []
            except (LookupError, TypeError, AttributeError, ZeroDivisionError) as error:
                raise ValueError(
                    f"{path}: the scene graph of image {image} is malformed ({type(error).__name__}: {error}). Each needs width, "
                    "height and objects. Get the file again, or remove it."
                ) from error

        return phrases_of

    def _example(self, entry: Entry, phrases_of: Callable[[str], list[str]]) -> Example:
        program, phrases = entry["semantic"], phrases_of(str(entry["imageId"]))
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
    """Return how many of a program's operations are steps of reasoning, as GQA's eval.py counts them."""
    operations = [f"{step['operation']}: {step['argument']}" for step in program]
    return sum(not any(name in operation for name in NO_STEP) for operation in operations)


def hops(program: list[Entry]) -> int:
    """Return the largest number of relations on any path from an object to the answer, as CLEVR's tag `hops`."""
    depth: list[int] = []
    for step in program:
        is_hop = step["operation"] == "relate" or step["operation"].endswith(" rel")
        depth.append(max((depth[k] for k in step["dependencies"]), default=0) + is_hop)
    return max(depth, default=0)


def graph_phrases(graph: Entry) -> list[str]:
    """Return one phrase per object, such as 'black small cat c07 r13 on mat holding ball'.

    Column and row give the object's centre in twentieths of the picture, rows from the bottom up, as in the built-in
    world. Left and right are left out of its relations, and related objects of one name are not distinguished. So the
    words are a reference, not a ceiling.
    """
    objects = graph["objects"]
    phrases = []
    for item in objects.values():
        x = (item["x"] + item["w"] / 2) / graph["width"]
        y = (graph["height"] - item["y"] - item["h"] / 2) / graph["height"]
        place = [
            cells[min(max(int(c * len(cells)), 0), len(cells) - 1)] for cells, c in ((COLUMNS, x), (ROWS, y))
        ]
        relations = [
            f"{relation['name']} {objects[relation['object']]['name']}"
            for relation in item["relations"]
            if relation["name"] not in HORIZONTAL
        ]
        phrases.append(" ".join([*item["attributes"], item["name"], *place, *relations]))
    return phrases


def _tier(part: str) -> str:
    return part.split("_")[0]


def _ids(ids: list[str] | str) -> list[str]:
    """Return question ids, which are digits, from a list or from a list printed as a string."""
    return re.findall(r"\d+", ids) if isinstance(ids, str) else list(ids)


def _load(path: Path) -> dict[str, Any]:
    """Return the content of a file that holds an object of objects."""
    expected = "an object under each id"
    content = read_json(path, expected)
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise layout_error(path, content, expected)
    return content
