"""The balance of answers, kept by rejection as in Johnson et al. 2017 (arXiv:1612.06890, §3)."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from bridgelab.world.scene import ATTRIBUTES

Key = tuple[str, str, tuple[int, ...]]  # family, last function, hints


@dataclass
class Balance:
    """Counts of the answers so far, by family, last function and hints.

    Args:
        families: questions of each family.
        answers: counts of each key's answers.
        wanted: for a key of yes-no questions, the answer to wait for.
    """

    families: Counter[str] = field(default_factory=Counter)
    answers: dict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wanted: dict[Key, str] = field(default_factory=dict)

    def accepts(self, key: Key, answer: str, rng: random.Random) -> bool:
        """Return whether one more of this answer keeps the balance.

        - Attributes: no value may lead its even share by more than a half.
        - Yes and no: wait for the one that is behind, after a tie for one that is drawn. Otherwise a question that is
          asked once would mostly have the likelier answer.
        - Counts: the commonest may lead the second by a tenth, and the median fivefold (in the spirit of CLEVR's rule).
        """
        counts = self.answers[key]
        if key[1].startswith("query_"):
            even = sum(counts.values()) / len(ATTRIBUTES[key[1].removeprefix("query_")])
            return counts[answer] <= even + 0.5
        if key[1] != "count":
            behind = min(("yes", "no"), key=lambda each: (counts[each], rng.random()))
            return answer == self.wanted.setdefault(key, behind)
        ranked = sorted(counts.values(), reverse=True)
        if len(ranked) < 2:
            return counts[answer] < 2
        median = max(ranked[len(ranked) // 2], 2)
        return counts[answer] <= 1.1 * ranked[1] and counts[answer] <= 5 * median

    def add(self, key: Key, answer: str) -> None:
        """Count an answer."""
        self.families[key[0]] += 1
        self.answers[key][answer] += 1
        self.wanted.pop(key, None)
