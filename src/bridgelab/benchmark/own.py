"""A user's data set: a folder of images, and a table of questions, choices or captions about them.

Metric: for answers, exact match with any of them (`variant=plain`) or VQA accuracy; for choices, accuracy of the likeliest
one; for captions, CIDEr-D, BLEU and ROUGE-L (`CaptionMetric`). Tags: the table's own, and `type`, by which the verdict is
broken down. Licence: your own.

Layout, whose columns docs/own_data.md lists:

    <name>.jsonl, .csv or .parquet      one row per question or caption
    train.…, val.… and test.…           or one table per split
    <images>/<image>                    as the rows name them

or a data set on the hub, a folder of its Parquet files, or one that `datasets` saved (`hub`). Nothing that a table holds is
run or unpickled.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bridgelab.benchmark.example import Example, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.vqa_accuracy import PLAIN, VARIANTS, VqaAccuracy
from bridgelab.benchmark.own_splits import MAKE, MAKE_OF_HUB, OwnSplits, assign_splits
from bridgelab.benchmark.readers.own_row import OwnRow
from bridgelab.benchmark.readers.own_rows import BREAKDOWN, FIELDS, LISTS, read_rows
from bridgelab.benchmark.readers.own_tables import Source, folder_tables, hub_tables
from bridgelab.benchmark.splits import SPLITS, check_share


class Own:
    """Questions, choices and captions about images in a folder.

    Args:
        root: the folder of the table; with `hub`, the folder that keeps the download.
        name: the benchmark's name in the record.
        file: the table, relative to `root`; None for the only one there, or for one per split.
        images: the folder, relative to `root`, that names of images are relative to.
        columns: the table's name of each of `FIELDS`; None for one that is not to be read. For those of `LISTS` also the names
            of several columns with an entry each.
        tags: columns that are tags.
        breakdown: the tag that breaks the verdict down, whose values become `type`; None for a tag of that name, or the
            only one of text.
        hub: a data set's name on the hub, a folder of its Parquet files, or one that `datasets.save_to_disk` wrote, to read
            instead of a table.
        config: the data set's config there, if it has several.
        revision: revision of the hub's repository.
        train: the hub's split to train on, or None.
        val: the hub's split to search on, or None to hold it out of train.
        test: the hub's split to compare bridges on, or None to make all splits anew.
        val_share: share of the groups outside of test that becomes val, if there is none.
        test_share: share of all groups that becomes test, if the table names no splits.
        seed: of the splits.
        variant: `plain` for exact match with any answer, or a variant of VQA accuracy, which needs four answers.
        prompt: what the language model reads; `{question}` stands for the question.
        choice_prompt: the same for choices; `{options}` stands for these, as '(A) … (B) …'.
        caption_prompt: what it reads before it describes an image.
    Raises:
        ValueError: if a prompt lacks its placeholder, or an argument is out of its range.
    """

    kinds = ("answer", "choice", "caption")

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "own",
        file: str | None = None,
        images: str = ".",
        columns: Mapping[str, str | Sequence[str] | None] | None = None,
        tags: Sequence[str] = (),
        breakdown: str | None = None,
        hub: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        train: str | None = "train",
        val: str | None = None,
        test: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        variant: str = PLAIN,
        prompt: str = "{question}",
        choice_prompt: str = "{question} {options}",
        caption_prompt: str = "describe the image .",
    ):
        fill(prompt, "question", "")
        fill(choice_prompt, "question", "")
        for field in columns or {}:
            choose(field, FIELDS, "columns has the field")
        self.root = Path(root).resolve()
        self.name = name
        self.file = file
        self.images = (self.root / images).resolve()
        self.columns: dict[str, str | None] = {field: field for field in FIELDS}
        self.joined: dict[str, tuple[str, ...]] = {}  # by field the columns that are read as one
        for field, column in (columns or {}).items():
            if isinstance(column, str | None):
                self.columns[field] = column
            elif field in LISTS:
                self.joined[field], self.columns[field] = tuple(column), ", ".join(column)
            else:
                raise ValueError(
                    f"benchmark.columns.{field}={list(column)}: only {', '.join(LISTS)} may stand in several columns. Name one."
                )
        self.tags, self.breakdown = tuple(tags), breakdown
        self.hub, self.config, self.revision = hub, config, revision
        self.parts = {"train": train, "val": val, "test": test}
        self.val_share = check_share(val_share, "val_share")
        self.test_share = check_share(test_share, "test_share")
        self.seed = seed
        self.variant = choose(variant, (PLAIN, *VARIANTS), "variant")
        self.prompt, self.choice_prompt, self.caption_prompt = prompt, choice_prompt, caption_prompt

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the table names, or that are made."""
        return tuple(self._splits.rows)

    @property
    def split_rule(self) -> str:
        """Where the splits come from, for the record of a run."""
        return self._splits.rule

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of one kind in a split in the table's order; none if the table has no such rows.

        In train each caption is an example; in val and test each image is one, with all its captions.

        Raises:
            FileNotFoundError: if there is no table.
            ValueError: if there is no such split or kind, or the table is malformed.
        """
        if split in SPLITS and split not in self.splits:
            raise ValueError(
                f"split={split!r}: the table of {self.name} has {', '.join(self.splits)} alone. Name rows {split} in its column of "
                f"splits, or {self._make}."
            )
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        rows = [row for row in self._splits.rows[split] if row.kind == kind]
        if kind == "caption" and split != "train":
            rows = _one_per_image(rows)
        return [self._example(row) for row in rows]

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return the metric of each kind that the table has, by tag."""
        found = {row.kind for row in self._rows}
        by = tuple(sorted({tag for row in self._rows for tag in row.tags}))
        metrics: dict[str, ExampleMetric] = {}
        if "answer" in found:
            plain = self.variant == PLAIN
            metrics["answer"] = Accuracy(by=by) if plain else VqaAccuracy(variant=self.variant, by=by)
        if "choice" in found:
            metrics["choice"] = Accuracy(by=by)
        if "caption" in found:
            metrics["caption"] = CaptionMetric(attributes=False)
        return metrics

    @property
    def remarks(self) -> list[str]:
        """What is not wrong, but may not be meant: columns that are not read, and questions outside of the breakdown."""
        joined = (column for columns in self.joined.values() for column in columns)
        used, lines = {*self.columns.values(), *joined, *self.tags}, []
        for table, _ in self._sources:
            if unread := [column for column in table.columns if column not in used]:
                lines.append(f"{table.path.name} has columns that are not read: {', '.join(unread)}")
        questions = [row for row in self._rows if row.kind != "caption"]
        without = sum(BREAKDOWN not in row.tags for row in questions)
        if without:
            tags = ", ".join(sorted({tag for row in questions for tag in row.tags})) or "there is none yet"
            lines.append(
                f"{without} of {len(questions)} questions are in no cell of the verdict, since they lack the tag that breaks it down. "
                f"Name one in benchmark.breakdown ({tags})"
            )
        return lines

    @cached_property
    def _sources(self) -> list[Source]:
        if not self.hub:
            tables = folder_tables(self.root, self.file)
            return tables if self.columns["split"] else [Source(table, None) for table, _ in tables]
        several = self.joined.get("images")
        single = [column for field in ("image", "images") if (column := self.columns[field])]
        return hub_tables(
            self.hub,
            self.parts,
            self.root / "hub",
            images=several or single,
            either=not several,
            config=self.config,
            revision=self.revision,
        )

    @cached_property
    def _rows(self) -> list[OwnRow]:
        images = None if self.hub else self.images
        return read_rows(
            self._sources,
            self.columns,
            joined=self.joined,
            tags=self.tags,
            images=images,
            breakdown=self.breakdown,
        )

    @cached_property
    def _splits(self) -> OwnSplits:
        return assign_splits(
            self._rows,
            val_share=self.val_share,
            test_share=self.test_share,
            seed=self.seed,
            source=", ".join(str(source.table.path) for source in self._sources),
            make=self._make,
        )

    @property
    def _make(self) -> str:
        """How to have splits made, for messages."""
        return MAKE_OF_HUB if self.hub and self.parts["test"] else MAKE

    def _example(self, row: OwnRow) -> Example:
        lettered = (
            f"({letter}) {one}" for letter, one in zip(string.ascii_uppercase, row.choices, strict=False)
        )
        texts = {"question": row.question, "options": " ".join(lettered)}
        template = {"answer": self.prompt, "choice": self.choice_prompt, "caption": self.caption_prompt}[
            row.kind
        ]
        return Example(
            id=row.id,
            images=row.images,
            # Both at once, since a question may hold braces itself.
            prompt=re.sub(r"\{(question|options)\}", lambda match: texts[match[1]], template),
            answers=row.answers,
            kind=row.kind,
            tags=row.tags | ({"group": row.group} if row.group else {}),
            choices=row.choices,
        )


def _one_per_image(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """Return the first row of each image, or of each set of images, with the captions of all of them."""
    first: dict[tuple[str, ...], OwnRow] = {}
    for row in rows:
        known = first.get(row.images)
        first[row.images] = replace(known, answers=known.answers + row.answers) if known else row
    return list(first.values())
