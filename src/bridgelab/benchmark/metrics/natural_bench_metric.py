"""NaturalBench's parse of free answers, and its four values."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"yes_no": ("yes", "no"), "multiple_choice": ("A", "B")}
)
GROUPS = MappingProxyType({"q_acc": "question", "i_acc": "image", "g_acc": "group"})
SIZES = MappingProxyType({"q_acc": 2, "i_acc": 2, "g_acc": 4})


def parse_answer(text: str, question_type: str) -> str | None:
    """Return which of the type's two words stands first in a text, in either case; None if neither does.

    As `extract_answer` in the authors' naturalbench_vqa.py: 'No, yes' -> 'no' for yes_no, 'a B' -> 'A' for multiple_choice.
    """
    places = {}
    for word in WORDS[question_type]:
        if match := re.search(rf"\b{word}\b", text, re.IGNORECASE):
            places[word] = match.start()
    return min(places, key=places.__getitem__, default=None)


class NaturalBenchMetric(GroupAccuracy):
    """Accuracy over single questions, over questions, over images and over groups of two questions about two images.

    A question counts if it is right on both images (`q_acc`), an image if both questions about it are right (`i_acc`),
    and a group if all four answers are (`g_acc`).
    Source: Li et al. 2024, arXiv:2410.14669, and Baiqi-Li/NaturalBench's naturalbench_vqa.py (371725813bb1). Chance: 25, 25
    and 6.25 %. Values: `accuracy` (Acc), `q_acc`, `i_acc`, `g_acc`, from 0 to 1, and accuracy by tag.

    Args:
        by: tags to break accuracy down by.
    """

    def __init__(self, *, by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(groups=GROUPS, sizes=SIZES, by=by, **kwargs)

    def score(self, prediction: str, example: Example) -> float:
        """Return 1 if the parsed prediction is the answer, else 0."""
        parsed = parse_answer(prediction, str(example.tags["format"]))
        return float(parsed is not None and parsed.lower() == example.answers[0].strip().lower())
