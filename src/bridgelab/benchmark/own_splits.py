"""The splits of a user's data set: as its table names them, or made so that no image is in two."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bridgelab.benchmark.readers.own_row import OwnRow
from bridgelab.benchmark.splits import SPLITS, draw_share

MAKE = "set benchmark.columns.split=null to have splits made"  # which also puts the names of tables aside
MAKE_OF_HUB = "set benchmark.test=null to have splits made of train"


class OwnSplits(NamedTuple):
    """Rows by split, and where the splits come from, for the record of a run."""

    rows: dict[str, list[OwnRow]]
    rule: str


def assign_splits(
    rows: Sequence[OwnRow],
    *,
    val_share: float,
    test_share: float,
    seed: int,
    source: str,
    make: str = MAKE,
) -> OwnSplits:
    """Return rows by split: as they name it, with val held out of train if there is none, or else made by group.

    Args:
        rows: all rows.
        val_share: share of the groups outside of test that becomes val.
        test_share: share of all groups that becomes test.
        seed: of the draws, which do not depend on the order of rows.
        source: the tables, for messages.
        make: how to have splits made, for messages.
    Raises:
        ValueError: if some rows name a split and others none, there is no test, there are too few groups, a group is in two
            splits, or all training questions have one answer.
    """
    groups = groups_of([(*row.images, *([f"group {row.group}"] if row.group else [])) for row in rows])
    by = "image" if all(row.group is None for row in rows) else "image and group"
    named = {row.split for row in rows if row.split}
    if not named:
        _require_groups(groups, 3, by, source)
        test = draw_share(groups, test_share, seed)
        val = draw_share(set(groups) - test, val_share, seed)
        splits = ["test" if group in test else "val" if group in val else "train" for group in groups]
        rule = f"made by {by}: test has {test_share:g} of all, val {val_share:g} of the others, seed {seed}"
    else:
        _check_named(rows, groups, source, make)
        splits, rule = [str(row.split) for row in rows], "named by the table"
        if "train" in named and "val" not in named:
            of_train = {group for group, split in zip(groups, splits, strict=True) if split == "train"}
            _require_groups(sorted(of_train), 2, by, f"{source}, split train")
            val = draw_share(of_train, val_share, seed)
            splits = ["val" if group in val else split for group, split in zip(groups, splits, strict=True)]
            rule += f", but val made by {by}: {val_share:g} of train, seed {seed}"
    by_split: dict[str, list[OwnRow]] = {split: [] for split in SPLITS if split in splits}
    for row, split in zip(rows, splits, strict=True):
        by_split[split].append(row)
    _refuse_one_answer(by_split, source)
    return OwnSplits(by_split, rule)


def groups_of(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the group of each row: rows that share a name, directly or through others, are in one.

    Args:
        rows: the names that tie each row to others, at least one each.
    Returns:
        For each row the first name of its group in alphabetical order, so that the order of rows does not matter.
    """
    names = sorted({name for row in rows for name in row})
    place = {name: k for k, name in enumerate(names)}
    first = [place[row[0]] for row in rows for _ in row]
    other = [place[name] for row in rows for name in row]
    links = coo_array((np.ones(len(first)), (first, other)), shape=(len(names), len(names)))
    group = connected_components(links, directed=False)[1].tolist()
    least: dict[int, str] = {}
    for name, number in zip(names, group, strict=True):
        least.setdefault(number, name)
    return [least[group[place[row[0]]]] for row in rows]


def _check_named(rows: Sequence[OwnRow], groups: Sequence[str], source: str, make: str) -> None:
    """Check the splits that rows name."""
    if without := [row.place for row in rows if not row.split]:
        raise ValueError(
            f"{source}: {len(without)} of {len(rows)} rows have no split, such as {without[0]}: all rows name one, or none does. "
            f"Fill it in, or {make}."
        )
    if "test" not in (named := sorted({str(row.split) for row in rows})):
        raise ValueError(
            f"{source}: split is {' or '.join(named)} in all rows, and none is test, which bridges are compared on. Name rows test, "
            f"or {make}."
        )
    first: dict[str, str | None] = {}
    both = {g for g, row in zip(groups, rows, strict=True) if first.setdefault(g, row.split) != row.split}
    if both:
        raise ValueError(
            f"{source}: {len(both)} images or groups are in two splits, such as {min(both)}: a bridge may not be tested on what it was "
            f"trained on. Correct their splits, or {make}."
        )


def _require_groups(groups: Sequence[str], least: int, by: str, source: str) -> None:
    if (number := len(set(groups))) < least:
        raise ValueError(
            f"{source}: its rows are {number} groups by {by}, and splits take at least {least}, since rows that share one stay together. "
            "Add images, or correct the column of groups."
        )


def _refuse_one_answer(by_split: dict[str, list[OwnRow]], source: str) -> None:
    """Refuse questions that have all one answer in train, or in test if there is no train."""
    split, rows = next((split, rows) for split, rows in by_split.items() if split != "val")
    answers = {row.answers[0] for row in rows if row.kind == "answer"}
    if len(answers) == 1:
        raise ValueError(
            f"{source}, split {split}: all questions have the answer {min(answers)!r}, which a bridge gives without looking. At least "
            f"2 different answers are needed, and this split has {len(rows)} of {sum(map(len, by_split.values()))} rows. Add questions "
            "with other answers, on more images: rows of one image stay in one split."
        )
