"""Accuracy over examples, and over groups of examples that must all be right."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import Row, by_tag, mean

CONSISTENCY = MappingProxyType({"consistency": "group"})
Groups = dict[str | int, list[float]]  # group -> the scores of its examples


class GroupAccuracy(Accuracy):
    """Accuracy, and the share of groups in which every prediction is right, for one or more ways to group.

    NLVR and NLVR2 call it consistency (Suhr et al. 2017, and lil-lab/nlvr's scorer), MMVP and What'sUp pair accuracy,
    NaturalBench question, image and group accuracy, and MMBench circular evaluation.
    Values: those of `Accuracy`, each name in `groups`, and `<name>/<tag>=<value>` for each value of each tag in `by`, over
    the groups whose examples all have it.

    Args:
        groups: for each value's name, the tag that holds an example's group. An example without any of the tags is refused.
        sizes: for a value's name, the number of examples that make a group complete; groups with fewer, which
            `evaluate.limit` can leave, are left out of that value. Without a size every group counts.
        by: tags to break down by.
    """

    def __init__(
        self,
        *,
        groups: Mapping[str, str] = CONSISTENCY,
        sizes: Mapping[str, int] = MappingProxyType({}),
        by: tuple[str, ...] = (),
        **kwargs: Any,
    ):
        super().__init__(by=by, **kwargs)
        self.groups = dict(groups)
        self.sizes = dict(sizes)

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if every group of a value is a single example, where the value equals accuracy.

        Raises:
            ValueError: if an example has no group, or no group is complete.
        """
        scored = [(e.id, e.tags, 0.0) for e in examples]
        for name in self.groups:
            found = self._members(name, scored)
            if scores_only:
                continue
            complete = self._complete(name, found)
            if all(len(scores) == 1 for scores in complete.values()):
                return f"each of {len(found)} groups is a single example: their {name} is their accuracy, and not comparable"
        return None

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return accuracy, and for each way to group the share of groups that are all right, both overall and by tag.

        Raises:
            ValueError: if an example has no group, or no group is complete.
        """
        values = super().summarize(rows)
        scored = [(row["id"], row["tags"], row["score"]) for row in rows]
        for name in self.groups:
            complete = self._complete(name, self._members(name, scored))
            values[name] = mean([min(scores) for scores in complete.values()])
            for value, members in by_tag(rows, self.by):
                own = Counter(row["tags"][self.groups[name]] for row in members)
                if alike := [min(scores) for group, scores in complete.items() if own[group] == len(scores)]:
                    values[f"{name}/{value}"] = mean(alike)
        return values

    def _members(self, name: str, scored: Iterable[tuple[str, Mapping[str, str | int], float]]) -> Groups:
        """Return each group's scores, from (id, tags, score) of each example."""
        tag = self.groups[name]
        groups: Groups = defaultdict(list)
        for example, tags, score in scored:
            if tag not in tags:
                raise ValueError(
                    f"example {example} has the tags {sorted(tags)}: {name} needs {tag!r}. Give the benchmark's "
                    "examples that tag."
                )
            groups[tags[tag]].append(score)
        return groups

    def _complete(self, name: str, groups: Groups) -> Groups:
        """Return the groups that count for a value."""
        size = self.sizes.get(name, 1)
        complete = {group: scores for group, scores in groups.items() if len(scores) >= size}
        if not complete:
            raise ValueError(
                f"{name}: none of {len(groups)} groups has all of its {size} examples: at least 1 is needed. Raise "
                "evaluate.limit."
            )
        return complete
