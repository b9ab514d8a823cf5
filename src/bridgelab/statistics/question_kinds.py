"""Kinds of questions: the reasoning that each question takes."""

import numpy as np
import pandas as pd

# The order in which reasoning types are shown; others follow by name.
TYPES = ("exist", "count", "query", "compare_attribute", "compare_integer")
_INTEGER = ("equal_integer", "less_than", "greater_than", "compare_integer")
ALL = "all"


def reasoning_type(tag: object) -> str:
    """Return the reasoning type of a question type: 'query_color' -> 'query', 'equal_shape' -> 'compare_attribute'."""
    name = str(tag)
    if name in _INTEGER:
        return "compare_integer"
    if name.startswith(("equal_", "compare_")):
        return "compare_attribute"
    return "query" if name.startswith("query") else name


def ordered_types(types: np.ndarray) -> list[str]:
    """Return the distinct reasoning types among some, in the order in which tables show them."""
    present = set(types) - {""}
    return [name for name in TYPES if name in present] + sorted(present - set(TYPES))


def kind_masks(examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, for each kind of question, a mask over examples; one kind, `all`, if the questions have no types.

    Args:
        examples: one row per example, with `kind` and, if the benchmark has question types, `tag_type`.
    Returns:
        {kind: bool [example]}, in the order of `ordered_types`; empty if all examples are captions.
    """
    questions = (examples["kind"] != "caption").to_numpy()
    if not questions.any():
        return {}
    if "tag_type" not in examples:
        return {ALL: questions}
    types = np.array(
        ["" if pd.isna(tag) else reasoning_type(tag) for tag in examples["tag_type"]], dtype=object
    )
    names = ordered_types(types[questions])
    return {name: questions & (types == name) for name in names} if len(names) > 1 else {ALL: questions}
