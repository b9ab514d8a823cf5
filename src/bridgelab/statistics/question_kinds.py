"""Kinds of questions: the reasoning that each question takes."""

import numpy as np
import pandas as pd

from bridgelab.world.scene import ATTRIBUTES

# The order in which reasoning types are shown; others follow by name.
TYPES = ("exist", "count", "query", "compare_attribute", "compare_integer")
# CLEVR's question types by the reasoning that they take. Any other type is a reasoning type itself.
_OF_CLEVR = {
    **dict.fromkeys(("equal_integer", "less_than", "greater_than"), "compare_integer"),
    **{f"query_{attribute}": "query" for attribute in ATTRIBUTES},
    **{
        f"{verb}_{attribute}": "compare_attribute"
        for attribute in ATTRIBUTES
        for verb in ("equal", "compare")
    },
}
ALL = "all"


def reasoning_type(tag: object) -> str:
    """Return the reasoning type of a question type: 'query_color' -> 'query', 'equal_shape' -> 'compare_attribute'.

    Types that are not CLEVR's stay as they are.
    """
    name = str(tag)
    return _OF_CLEVR.get(name, name)


def ordered_types(types: np.ndarray) -> list[str]:
    """Return the distinct reasoning types among some, in the order in which tables show them."""
    present = set(types) - {""}
    return [name for name in TYPES if name in present] + sorted(present - set(TYPES))


def question_types(examples: pd.DataFrame) -> np.ndarray:
    """Return the reasoning type of each example; where the benchmark has none, its kind, such as choice, if questions are of several.

    Kinds have metrics of their own, so a mean over them is no score of the benchmark.

    Args:
        examples: one row per example, with `kind` and, if the benchmark has question types, `tag_type`.
    Returns:
        Names, empty for captions and for questions without a type [example].
    """
    questions = (examples["kind"] != "caption").to_numpy()
    if "tag_type" in examples:
        types = ["" if pd.isna(tag) else reasoning_type(tag) for tag in examples["tag_type"]]
    else:
        types = examples["kind"].astype(str).tolist()
        if len(set(examples["kind"][questions])) < 2:
            types = [""] * len(examples)
    return np.where(questions, np.array(types, dtype=object), "")


def kind_masks(examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, for each kind of question, a mask over examples; one kind, `all`, if the questions have fewer than two types.

    Args:
        examples: as `question_types` takes them.
    Returns:
        {kind: bool [example]}, in the order of `ordered_types`; empty if all examples are captions.
    """
    questions = (examples["kind"] != "caption").to_numpy()
    if not questions.any():
        return {}
    types = question_types(examples)
    names = ordered_types(types)
    return {name: questions & (types == name) for name in names} if len(names) > 1 else {ALL: questions}
