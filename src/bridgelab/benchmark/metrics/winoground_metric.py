"""Winoground's metric: which of two captions belongs to which of two images."""

from collections import defaultdict
from collections.abc import Sequence

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import Row, by_tag, mean

HALVES = ("0", "1")  # the tag `image` of an item's halves
Item = dict[int, list[float]]  # image -> the log-probability of each caption


class WinogroundMetric(Accuracy):
    r"""Text, image and group score over items of two images and two captions.

    With $s_{ci}$ the log-probability of caption c at image i, an item's text score is 1 if $s_{00} > s_{10}$ and
    $s_{11} > s_{01}$, its image score is 1 if $s_{00} > s_{01}$ and $s_{11} > s_{10}$, and its group score is 1 if both
    are; ties fail. Chance: 25, 25 and 16.67 %.
    Source: Thrush et al. 2022, arXiv:2204.03162, section 4.
    Values: `text_score`, `image_score`, `group_score`; `groups`, the number of items with both images (an item that
    `evaluate.limit` leaves one image counts in `accuracy` only); `accuracy` over images, where an image is right if its
    own caption is likelier; and all but `groups` as `<name>/<tag>=<value>` for each value of each tag in `by`.

    Args:
        by: tags to break down by.
    """

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> None:
        """Check that at least one item has both images.

        Raises:
            ValueError: if none has, or an example lacks the tags of an item's half.
        """
        halves = [{"id": e.id, "tags": e.tags, "likelihoods": [0.0 for _ in e.choices]} for e in examples]
        if not scores_only:
            _require_items(halves)

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return the scores, overall and by tag.

        Raises:
            ValueError: if an example lacks the tags or the two likelihoods of an item's half, or no item has both images.
        """
        values = super().summarize(rows)
        items = _require_items(rows)
        values |= {**_scores(items), "groups": float(len(items))}
        for group, members in by_tag(rows, self.by):
            if own_items := _items(members):
                values |= {f"{name}/{group}": value for name, value in _scores(own_items).items()}
        return values


def _require_items(rows: list[Row]) -> list[Item]:
    """Return the items with both images; raise if there is none."""
    items = _items(rows)
    if not items:
        raise ValueError(
            f"{len(rows)} examples hold 0 items with both images: at least 1 is needed. Raise evaluate.limit."
        )
    return items


def _items(rows: list[Row]) -> list[Item]:
    """Return the items with both images."""
    items: dict[str | int, Item] = defaultdict(dict)
    for row in rows:
        tags, likelihoods = row["tags"], row["likelihoods"]
        is_half = "group" in tags and tags.get("image") in HALVES
        if not is_half or likelihoods is None or len(likelihoods) != 2:
            raise ValueError(
                f"example {row['id']} has the tags {sorted(tags)} and the likelihoods {likelihoods}: an item's half needs "
                "group, image ('0' or '1') and the log-probabilities of both captions. Give update those of choices."
            )
        items[tags["group"]][HALVES.index(tags["image"])] = likelihoods
    return [item for item in items.values() if len(item) == 2]


def _scores(items: list[Item]) -> dict[str, float]:
    text = [item[0][0] > item[0][1] and item[1][1] > item[1][0] for item in items]
    image = [item[0][0] > item[1][0] and item[1][1] > item[0][1] for item in items]
    group = [t and i for t, i in zip(text, image, strict=True)]
    by_name = {"text_score": text, "image_score": image, "group_score": group}
    return {name: mean([float(right) for right in each]) for name, each in by_name.items()}
