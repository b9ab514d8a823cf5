"""NLVR's and NLVR2's official pair of metrics: accuracy, and consistency over groups of examples."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import Row, mean


class Consistency(Accuracy):
    """Accuracy, and the share of groups in which every prediction is right.

    Source: Suhr et al. 2017, "A Corpus of Natural Language for Visual Reasoning", and lil-lab/nlvr's scorer.
    Values: those of `Accuracy`, and `consistency`.

    Args:
        group: the tag that holds an example's group.
        by: tags to break accuracy down by.
    """

    def __init__(self, *, group: str = "group", by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(by=by, **kwargs)
        self.group = group

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if every group is a single example, where consistency equals accuracy.

        Raises:
            ValueError: if an example has no group.
        """
        groups = self._groups((e.id, e.tags, 0.0) for e in examples)
        if scores_only or any(len(scores) > 1 for scores in groups.values()):
            return None
        return f"each of {len(groups)} groups is a single example: their consistency is their accuracy, and not comparable"

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return accuracy and consistency.

        Raises:
            ValueError: if an example has no group.
        """
        groups = self._groups((row["id"], row["tags"], row["score"]) for row in rows)
        consistency = mean([min(scores) for scores in groups.values()])
        return super().summarize(rows) | {"consistency": consistency}

    def _groups(
        self, scored: Iterable[tuple[str, Mapping[str, str | int], float]]
    ) -> dict[str | int, list[float]]:
        """Return each group's scores, from (id, tags, score) of each example."""
        groups: dict[str | int, list[float]] = defaultdict(list)
        for name, tags, score in scored:
            if self.group not in tags:
                raise ValueError(
                    f"example {name} has the tags {sorted(tags)}: consistency needs {self.group!r}. Give the benchmark's "
                    "examples that tag."
                )
            groups[tags[self.group]].append(score)
        return groups
