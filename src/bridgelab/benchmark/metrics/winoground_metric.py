"""Winoground's metric: two pictures, two captions, and which belongs to which."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.breakdown import Rows, by_tag
from bridgelab.benchmark.metrics.example_metric import mean

Scores = dict[int, list[float]]


class PairScores(Accuracy):
    r"""Text, image and group score over items of two images and two captions: Winoground's official three.

    With $s_{ci}$ the log-probability of caption c at image i, an item's text score is 1 if
    $s_{00} > s_{10}$ and $s_{11} > s_{01}$, its image score if $s_{00} > s_{01}$ and $s_{11} > s_{10}$, its
    group score if both are; a tie fails. By chance: 25, 25 and 16.67 %.
    Source: Thrush et al. 2022, arXiv:2204.03162, section 4.
    Values: `text_score`, `image_score`, `group_score`, `groups` (how many items were whole: where `evaluate.limit`
    left an item one image only, it counts in `accuracy` alone), `accuracy` (over images, their own caption
    the likelier), and all but `groups` by `<name>/<tag>=<value>` for each value seen of each tag in `by`.

    Args:
        by: tags to break down by.
    """

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> None:
        """Do nothing if there is an item with both images.

        Raises:
            ValueError: if not, or if an example is no half of an item.
        """
        halves = [{"id": e.id, "tags": e.tags, "likelihoods": [0.0 for _ in e.choices]} for e in examples]
        if not alone:
            _whole(halves)

    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """The scores, overall and by tag.

        Raises:
            ValueError: if an example is no half of an item, has not two likelihoods, or no item is whole.
        """
        values = super().summarize(rows)
        whole = _whole(rows)
        values |= {**_three(whole), "groups": float(len(whole))}
        for group, own in by_tag(rows, self.by):
            if items := _items(own):
                values |= {f"{name}/{group}": value for name, value in _three(items).items()}
        return values


def _whole(rows: Rows) -> list[Scores]:
    """The items, of which there must be one."""
    items = _items(rows)
    if not items:
        raise ValueError(
            f"{len(rows)} examples hold 0 items with both images: at least 1 is needed. Raise evaluate.limit."
        )
    return items


def _items(rows: Rows) -> list[Scores]:
    """Of each item with both images, by image the log-probability of each caption."""
    items: dict[str | int, Scores] = defaultdict(dict)
    for row in rows:
        tags, scores = row["tags"], row["likelihoods"]
        if "group" not in tags or tags.get("image") not in (0, 1) or scores is None or len(scores) != 2:
            raise ValueError(
                f"example {row['id']} has the tags {sorted(tags)} and the likelihoods {scores}: an item's half needs "
                "group, image (0 or 1) and the log-probabilities of both captions. Give update those of choices."
            )
        items[tags["group"]][tags["image"]] = scores
    return [item for item in items.values() if len(item) == 2]


def _three(items: list[Scores]) -> dict[str, float]:
    text = [item[0][0] > item[0][1] and item[1][1] > item[1][0] for item in items]
    image = [item[0][0] > item[1][0] and item[1][1] > item[0][1] for item in items]
    both = [t and i for t, i in zip(text, image, strict=True)]
    named = {"text_score": text, "image_score": image, "group_score": both}
    return {name: mean([float(right) for right in each]) for name, each in named.items()}
