"""A metric's rows, sorted by the values of a tag."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

Rows = list[dict[str, Any]]


def by_tag(rows: Rows, tags: Sequence[str]) -> Iterator[tuple[str, Rows]]:
    """'<tag>=<value>' and its rows, for each value seen of each tag; a row without the tag is left out of it."""
    for tag in tags:
        groups: dict[str | int, Rows] = defaultdict(list)
        for row in rows:
            if tag in row["tags"]:
                groups[row["tags"][tag]].append(row)
        for value in sorted(groups):
            yield f"{tag}={value}", groups[value]
