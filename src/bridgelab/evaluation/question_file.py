"""Questions from a JSONL file, one per line, and their answers in the same form. Free of torch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import parse_json, read_bytes
from bridgelab.printable import printable_json

ANSWERED = ("answer", "probability", "unknown_words")  # what an answer adds to its question's line


@dataclass(frozen=True)
class AskedLine:
    """One line of a file of questions.

    Args:
        content: the line as given, which its answer repeats.
        images: paths of the images, relative ones below the file's folder.
        question: in plain words.
    """

    content: Mapping[str, Any]
    images: tuple[Path, ...]
    question: str


def read_questions(path: Path) -> list[AskedLine]:
    """Return the questions of a JSONL file: objects with `image` or `images`, and `question`; other keys are kept.

    Raises:
        ValueError: if a line is not such an object, an image does not exist, or lines have different numbers of images, with
            the number of the line.
        OSError: if the file can't be read.
    """
    asked = []
    # Split bytes, not text: JSON may hold characters at which str.splitlines would split too.
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        if line.strip():
            try:
                asked.append(_asked(_object(line), path.parent))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            if len(asked[-1].images) != len(asked[0].images):
                raise ValueError(
                    f"{path}, line {number}: it has {len(asked[-1].images)} images, and the first line {len(asked[0].images)}. "
                    "A run's questions are about one number of images: write the others to a file of their own."
                )
    if not asked:
        raise ValueError(
            f'{path} holds no question. Write one per line: {{"image": "a.png", "question": "..."}}'
        )
    return asked


def _object(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise ValueError(
            f"it is malformed ({error}): each line is one JSON object in UTF-8. Write it again."
        ) from error


def _asked(content: Any, folder: Path) -> AskedLine:
    if not isinstance(content, dict):
        raise ValueError(f"{str(content)[:60]!r} must be an object with the keys image and question.")
    images = content.get("images", content.get("image"))
    images = [images] if isinstance(images, str) else images
    if not (isinstance(images, list) and images and all(isinstance(one, str) for one in images)):
        raise ValueError('it needs "image", a path, or "images", a list of paths.')
    if not isinstance(content.get("question"), str) or not content["question"].strip():
        raise ValueError('it needs "question", a text that is not empty.')
    paths = tuple(folder / one for one in images)
    if absent := next((one for one in paths if not one.is_file()), None):
        raise ValueError(
            f"there is no image {absent}. Relative paths start at the folder of the file of questions."
        )
    return AskedLine(content, paths, content["question"])


def batches(asked: Sequence[AskedLine], size: int) -> Iterator[Sequence[AskedLine]]:
    """Yield the questions in order, `size` at a time."""
    for first in range(0, len(asked), size):
        yield asked[first : first + size]


def answer_line(asked: AskedLine, text: str, probability: float, unknown_words: Sequence[str]) -> str:
    """Return the JSON line of an answer: its question's keys, and those of `ANSWERED`."""
    added = dict(zip(ANSWERED, (text, round(probability, 6), list(unknown_words)), strict=True))
    return printable_json(json.dumps({**asked.content, **added}, ensure_ascii=False))
