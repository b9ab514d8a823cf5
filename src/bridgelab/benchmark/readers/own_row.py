"""One row of a user's table as a question, a choice or a caption: what its cells may hold."""

import difflib
import posixpath
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from bridgelab.benchmark.annotations import parse_json, under
from bridgelab.benchmark.example import fits_column
from bridgelab.benchmark.readers.own_tables import SPLIT_NAMES
from bridgelab.benchmark.readers.table_file import Table
from bridgelab.benchmark.vqav2 import most_frequent_first

GROUP = "group"  # the tag that examples of one group share, which the statistics count as one image
SHOWN = 60  # characters of a value in a message
MAX_TAG = 60  # characters of a tag: it is a heading of the report
SEPARATOR = "|"  # of the entries of a list in a CSV's cell
# Fields that the language model reads or writes. T5's tokenizer changes their characters, see `_as_tokenized`.
SPOKEN = ("question", "answer", "answers", "choices", "caption")
INVISIBLE = dict.fromkeys(map(ord, "\u061c\u200b\u200c\u200e\u200f\ufeff"), " ")  # nmt_nfkc makes them blanks


@dataclass(frozen=True)
class OwnRow:
    """A row of the table after its checks.

    Args:
        place: of the row in its file, as in line 7.
        id: its own; the name of the file and the place if there is no column of ids.
        images: paths of its images.
        kind: answer, choice or caption.
        question: its text; empty for a caption.
        answers: accepted answers, or the right choice, or the caption.
        choices: for a choice.
        split: train, val or test; None if the table does not say.
        group: rows of one group are never in two splits; None if the table does not say.
        tags: by name.
    """

    place: str
    id: str
    images: tuple[str, ...]
    kind: str
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    tags: dict[str, str | int] = field(default_factory=dict)


class RowReader:
    """Turns rows of one table into `OwnRow`s.

    Args:
        table: the file.
        columns: the table's name of each field; None for a field that is not to be read.
        tags: columns that are tags.
        images: the folder that names of images are relative to; None if they are paths already.
    """

    def __init__(
        self, table: Table, columns: Mapping[str, str | None], tags: Sequence[str], images: Path | None
    ):
        self.table, self.columns, self.tags, self.images = table, columns, tags, images

    def read(self, place: str, row: Mapping[str, Any]) -> OwnRow:
        """Return one row.

        Raises:
            ValueError: with the column, the value, the rule and the fix.
        """
        given = {name: row.get(column) for name, column in self.columns.items() if column}
        cells = {name: value for name, value in given.items() if not is_empty(value)}
        kind = "caption" if "caption" in cells else "choice" if "choices" in cells else "answer"
        for one, other in (("caption", "question"), ("image", "images"), ("answer", "answers")):
            if one in cells and other in cells:
                fix = f"Give each a row of its own, or set benchmark.columns.{other}=null"
                self._refuse(one, cells[one], f"stands beside {self.columns[other]}", fix)
        self._check_keys(row, kind)
        choices = self._choices(cells) if kind == "choice" else ()
        return OwnRow(
            place=place,
            id=self._text("id", cells["id"])
            if "id" in cells
            else f"{self.table.path.stem}-{place.split()[-1]}",
            images=self._images(cells),
            kind=kind,
            question="" if kind == "caption" else self._text("question", cells.get("question")),
            answers=(self._right(cells, choices),) if choices else self._answers(cells, kind),
            choices=choices,
            split=self._split(cells) if "split" in cells else None,
            group=self._text("group", cells["group"]) if "group" in cells else None,
            tags=self._tags(cells, row),
        )

    def _check_keys(self, row: Mapping[str, Any], kind: str) -> None:
        """Check that a row has the columns that its kind needs, which rows of JSON may lack one by one."""
        answers = ("answer", "answers", *(("answer_index",) if kind == "choice" else ()))
        for names in (("image", "images"), *(() if kind == "caption" else (("question",), answers))):
            columns = {column: name for name in names if (column := self.columns[name])}
            if not columns or columns.keys() & row.keys():
                continue
            column, name = next(iter(columns.items()))
            unknown = [one for one in row if one not in {*self.columns.values(), *self.tags}]
            close = difflib.get_close_matches(
                column.lower(), [one.lower() for one in unknown], n=1, cutoff=0.5
            )
            near = next((one for one in unknown if one.lower() in close), None)
            fix = (
                f"Rename {near!r}, or set benchmark.columns.{name}={near} if all rows have it."
                if near
                else "Add it, or leave the row out."
            )
            raise ValueError(f"has no {column!r}, but {', '.join(map(repr, row))}. {fix}")

    def _images(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        several = "images" in cells
        names = (
            self._list("images", cells["images"]) if several else (self._text("image", cells.get("image")),)
        )
        if self.images is None:
            return names
        for name in names:
            if name.startswith("/") or ".." in name.split("/") or "\\" in name or "://" in name:
                rule = f"must be the path of a file below {self.images}, with / between folders"
                self._refuse("image", name, rule, "Write it so, or set benchmark.images to its folder")
        # One name for each image: a.png and ./a.png must not be in two splits.
        return tuple(under(self.images, posixpath.normpath(name)) for name in names)

    def _split(self, cells: Mapping[str, Any]) -> str:
        name = self._text("split", cells["split"])
        if name.lower() not in SPLIT_NAMES:
            fix = "Correct it, or set benchmark.columns.split=null to ignore that column"
            self._refuse("split", name, "must be train, val or test", fix)
        return SPLIT_NAMES[name.lower()]

    def _answers(self, cells: Mapping[str, Any], kind: str) -> tuple[str, ...]:
        if kind == "caption":
            return (self._text("caption", cells["caption"]),)
        if "answers" in cells:
            return most_frequent_first(list(self._list("answers", cells["answers"])))
        return (self._text("answer", cells.get("answer")),)

    def _choices(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        choices = self._list("choices", cells["choices"])
        if repeated := sorted({one for one in choices if choices.count(one) > 1}):
            rule = f"repeat {repeated[0]!r}, so that the right one is not known"
            self._refuse("choices", choices, rule, "Make them differ")
        if not 2 <= len(choices) <= len(string.ascii_uppercase):
            rule = f"must be 2 to {len(string.ascii_uppercase)}"
            self._refuse("choices", choices, rule, "Add or remove some, or leave choices out")
        return choices

    def _right(self, cells: Mapping[str, Any], choices: tuple[str, ...]) -> str:
        """Return the right choice, which is given by its text, its letter or its index."""
        letters = string.ascii_uppercase[: len(choices)]
        if "answer_index" not in cells:
            answer = self._text("answer", cells.get("answer"))
            if answer in choices:
                return answer
            if len(answer) == 1 and answer in letters:
                return choices[letters.index(answer)]
            rule = f"must be one of its choices, {choices}, or its letter from A to {letters[-1]}"
            fix = "Correct it; if it counts the choices from 0, name its column in benchmark.columns.answer_index"
            self._refuse("answer", answer, rule, fix)
        index = cells["answer_index"]
        if self.table.is_csv and str(index).strip().isdecimal():
            index = int(index)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(choices):
            rule = f"must be a whole number from 0 to {len(choices) - 1}"
            self._refuse("answer_index", index, rule, "Count the choices from 0")
        answer = self._text("answer", cells["answer"]) if "answer" in cells else choices[index]
        # As without an index, a text that is one of the choices is no letter.
        if answer != choices[index] and (answer in choices or answer not in (letters[index], str(index))):
            rule = f"is {choices[index]!r} of {choices}, and its answer is {answer!r}"
            fix = "Count the choices from 0, or set benchmark.columns.answer_index=null, or benchmark.columns.answer=null to ignore that"
            self._refuse("answer_index", index, rule, fix)
        return choices[index]

    def _tags(self, cells: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str | int]:
        given = cells.get("tags", {})
        if self.table.is_csv and isinstance(given, str) and given.startswith("{"):
            given = self._parsed("tags", given)
        if isinstance(given, str):
            given = {"type": given}
        if not isinstance(given, dict):
            fix = 'Write {"type": "count"}, or name columns in benchmark.tags'
            self._refuse("tags", given, "must be an object of names and values, or one text", fix)
        named = given | {tag: row.get(tag) for tag in self.tags}
        return {name: self._tag(name, value) for name, value in named.items() if not is_empty(value)}

    def _tag(self, name: str, value: Any) -> str | int:
        if name == GROUP:
            self._refuse("tags", name, "is no tag: it is the column of groups", "Rename it")
        if not name.replace("_", "").replace("-", "").isalnum():
            rule = "is the name of a tag, which holds letters, digits, - and _ alone"
            self._refuse("tags", name, rule, "Rename it")
        if isinstance(value, bool):
            return str(value).lower()  # a name: as a number it would be a level of difficulty
        if isinstance(value, int):
            if not fits_column(value):
                rule = f"is the tag {name}, and a number of more than 64 bits fits no column"
                self._refuse("tags", value, rule, "Write it as text")
            return value
        if not isinstance(value, str) or len(value) > MAX_TAG or set("/=\n") & set(value):
            rule = f"is the tag {name}, which must be a whole number, or text of at most {MAX_TAG} characters without / and ="
            self._refuse("tags", value, rule, "Shorten or round it")
        return value.strip()

    def _list(self, name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) and self.table.is_csv:
            value = self._parsed(name, value) if value.startswith("[") else value.split(SEPARATOR)
        if not isinstance(value, list) or not value:
            fix = f"Write a list; in CSV, put {SEPARATOR} between its entries"
            self._refuse(name, value, "must be a list of texts", fix)
        return tuple(self._text(name, one) for one in value)

    def _parsed(self, name: str, value: str) -> Any:
        try:
            return parse_json(value)
        except ValueError as error:
            self._refuse(name, value, f"begins like JSON and is not ({error})", "Correct it")

    def _text(self, name: str, value: Any) -> str:
        """Return a cell that has to hold text, or a whole number, as text without blanks at its ends.

        In fields of `SPOKEN` it is the text that a T5 reads and can write.
        """
        if str(value).strip().lower() == "nan" and isinstance(value, str | float):
            self._refuse(name, value, "is NaN, a missing value", "Fill it in, or leave the row out")
        text = _as_tokenized(str(value)) if name in SPOKEN else str(value).strip()
        if value is None or not text:
            self._refuse(name, value, "must be given in each row", "Fill it in, or leave the row out")
        if isinstance(value, bool) or not isinstance(value, str | int):
            rule = f"must be text or a whole number, and is of type {type(value).__name__}"
            self._refuse(name, value, rule, "Write it as text")
        return text

    def _refuse(self, name: str, value: Any, rule: str, fix: str) -> NoReturn:
        shown = repr(value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
        raise ValueError(f"{self.columns.get(name) or name}={shown} {rule}. {fix}.")


def _as_tokenized(text: str) -> str:
    """Return what T5's tokenizer leaves of a text, with single blanks: '12 m²' -> '12 m2', 'CO₂' -> 'CO2'.

    Its rule is SentencePiece's nmt_nfkc, which is NFKC for all but invisible and very rare characters. A T5 can write no
    other text, so an answer that keeps other characters could never be right.
    """
    return " ".join(unicodedata.normalize("NFKC", text).translate(INVISIBLE).split())


def is_empty(value: Any) -> bool:
    """Return whether a cell holds nothing, or blanks alone."""
    return value is None or (isinstance(value, str) and not value.strip())
