"""Questions to look at, with each bridge's answer: those that bridges disagree on first, with their images if these are still there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.report.row import by_role, label
from bridgelab.report.thumbnails import image_root, read_thumbnails
from bridgelab.report.view import example_names, read_view
from bridgelab.runs.study import Study
from bridgelab.statistics.question_kinds import question_types

SHOWN = 36  # questions whose answers are looked into
MOST_ON_PAGE = 5000  # questions
MOST_PICTURES = 800  # images, of the first questions
MOST_LEVELS = 30  # of a tag that questions are filtered by


@dataclass(frozen=True)
class Answer:
    """One bridge's answer to a question.

    Args:
        text: the answer of most seeds; in a tie, the first such seed's.
        right: number of seeds that were right.
        seeds: number of seeds.
        shuffled: the answer of most seeds if the bridge is given another question's image; None if that was not asked.
    """

    text: str
    right: int
    seeds: int
    shuffled: str | None = None

    @property
    def is_right(self) -> bool:
        """Whether more than half of the seeds were right."""
        return 2 * self.right > self.seeds


@dataclass(frozen=True)
class QuestionCard:
    """One question with all bridges' answers.

    Args:
        id: the example's name among those of all kinds (`view.example_name`).
        kind: its reasoning type; empty if unknown.
        prompt: the question.
        target: the right answer.
        answers: by bridge, floor or ceiling.
        pictures: its images as `data:` URLs; those that were found.
        tags: what else the benchmark says of it, such as {"hops": "2"}.
    """

    id: str
    kind: str
    prompt: str
    target: str
    answers: dict[str, Answer]
    pictures: tuple[str, ...]
    tags: dict[str, str] = field(default_factory=dict)


def select_examples(study: Study, most: int = SHOWN) -> list[QuestionCard]:
    """Select questions of every pattern of right and wrong among the bridges that see images.

    Patterns take turns, and within a pattern kinds of question do. The same study gives the same questions.

    Args:
        study: the study.
        most: number of questions at most.
    """
    bridges = [name for name in study.bridges if study.of(name)[0].sees == "image"]
    if not bridges:
        return []
    questions = study.questions.set_index(example_names(study.questions))
    answers = {name: _read_answers(study, name, questions.index) for name in study.bridges}
    kinds = question_types(questions).tolist()
    rows = _take_turns(_patterns([answers[name].right for name in bridges]), kinds, most)
    prompts = questions["prompt"] if "prompt" in questions else pd.Series("", index=questions.index)
    images = {row: str(questions["image"].iloc[row]).split("|") for row in rows}
    wanted = dict.fromkeys(name for names in images.values() for name in names)
    pictures = read_thumbnails(list(wanted)[:MOST_PICTURES], image_root(study))
    tags = _tags(questions)
    return [
        QuestionCard(
            id=str(questions.index[row]),
            kind=kinds[row],
            prompt=str(prompts.iloc[row]),
            target=str(questions["target"].iloc[row]),
            answers={name: answers[name].of_question(row) for name in by_role(study)},
            pictures=tuple(pictures[name] for name in images[row] if name in pictures),
            tags={name: values[row] for name, values in tags.items() if values[row]},
        )
        for row in rows
    ]


@dataclass(frozen=True)
class _Answers:
    """One bridge's answers to all questions.

    Args:
        texts: the answer of each seed [question].
        shuffled: the answer of each seed given another question's image [question]; empty for floors and ceilings.
        right: whether it is right [seed, question].
    """

    texts: Sequence[pd.Series]
    shuffled: Sequence[pd.Series]
    right: np.ndarray

    def of_question(self, row: int) -> Answer:
        """Return the answer to one question, over seeds."""
        other = [str(one) for seed in self.shuffled if pd.notna(one := seed.iloc[row])]
        return Answer(
            _most([str(seed.iloc[row]) for seed in self.texts]),
            int(self.right[:, row].sum()),
            len(self.texts),
            _most(other) if len(other) == len(self.texts) else None,
        )


def _read_answers(study: Study, bridge: str, questions: pd.Index) -> _Answers:
    runs = study.of(bridge)
    tables = [read_view(run, "image", captions=False).loc[questions] for run in runs]
    shuffled = [
        read_view(run, "shuffled", captions=False)["prediction"].reindex(questions)
        for run in runs
        if run.sees == "image"
    ]
    right = np.stack([(table["score"] >= 0.5).to_numpy() for table in tables])
    return _Answers([table["prediction"] for table in tables], shuffled, right)


def examples_json(study: Study, cards: Sequence[QuestionCard], mapped: Sequence[str] = ()) -> str:
    """Return questions as the page's script reads them: every answer and every picture is listed once and referred to by number.

    Args:
        study: says which rows are floors and ceilings.
        cards: the questions.
        mapped: ids of the questions that have saliency maps, in the order of these.
    """
    answers, pictures = _Numbered(), _Numbered()
    names = by_role(study)
    rows = [
        {"name": label(name), "sees": study.of(name)[0].sees, "seeds": len(study.of(name))} for name in names
    ]
    listed: list[dict[str, Any]] = [
        {
            "prompt": card.prompt,
            "target": card.target,
            "kind": card.kind.replace("_", " "),
            "tags": card.tags,
            "pictures": [pictures[picture] for picture in card.pictures],
            "answers": [_numbers(card.answers[name], answers) for name in names],
            **({"map": mapped.index(card.id)} if card.id in mapped else {}),
        }
        for card in cards
    ]
    found = {"rows": rows, "answers": list(answers), "pictures": list(pictures), "questions": listed}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _numbers(answer: Answer, texts: "_Numbered") -> list[int]:
    """Return an answer's text, its number of right seeds and, if known, the text for another image; texts by number."""
    other = [] if answer.shuffled is None else [texts[answer.shuffled]]
    return [texts[answer.text], answer.right, *other]


class _Numbered(dict[str, int]):
    """Texts with a number each, in the order in which they were asked for."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def _tags(questions: pd.DataFrame) -> dict[str, list[str]]:
    """Return the tags that questions can be filtered by, as printed; an empty string where a question lacks one."""
    found = {}
    for column in questions:
        name = str(column).removeprefix("tag_")
        if name == column or name in ("type", "group"):
            continue
        if 1 < questions[column].nunique() <= MOST_LEVELS:
            numeric = pd.api.types.is_numeric_dtype(questions[column])
            found[name.replace("_", " ")] = [
                "" if pd.isna(one) else f"{one:g}" if numeric else str(one).replace("_", " ")
                for one in questions[column]
            ]
    return found


def _patterns(right: Sequence[np.ndarray]) -> list[str]:
    """Return a letter per bridge for each question: "r" if most of its seeds are right, else "w".

    Args:
        right: for each bridge, whether an answer is right [seed, question].
    """
    letters = [np.where(2 * one.sum(axis=0) > len(one), "r", "w") for one in right]
    return ["".join(column) for column in zip(*letters, strict=True)]


def _take_turns(patterns: Sequence[str], kinds: Sequence[str], most: int) -> list[int]:
    """Return row numbers: one of each pattern in turn, rare patterns as often as common ones; within a pattern kinds take turns."""
    shuffled = np.random.default_rng(0).permutation(len(patterns))
    waiting: dict[str, list[int]] = {}
    for pattern in sorted(set(patterns)):
        count: dict[str, int] = {}
        turns = []
        for row in (int(row) for row in shuffled if patterns[row] == pattern):
            count[kinds[row]] = count.get(kinds[row], 0) + 1
            turns.append((count[kinds[row]], row))
        waiting[pattern] = [row for _, row in sorted(turns, key=lambda turn: turn[0])]
    rows: list[int] = []
    while len(rows) < most and any(waiting.values()):
        for queue in waiting.values():
            if queue and len(rows) < most:
                rows.append(queue.pop(0))
    return rows


def _most(texts: Sequence[str]) -> str:
    return max(texts, key=texts.count)
