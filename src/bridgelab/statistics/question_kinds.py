"""Kinds of questions: what reasoning each takes."""

import numpy as np

# The order in which reasoning types are shown; others follow by name.
TYPES = ("exist", "count", "query", "compare_attribute", "compare_integer")
_INTEGER = ("equal_integer", "less_than", "greater_than", "compare_integer")


def reasoning_type(tag: object) -> str:
    """The group of a question type: 'query_color' -> 'query', 'equal_shape' -> 'compare_attribute'."""
    name = str(tag)
    if name in _INTEGER:
        return "compare_integer"
    if name.startswith(("equal_", "compare_")):
        return "compare_attribute"
    return "query" if name.startswith("query") else name


def in_order(types: np.ndarray) -> list[str]:
    """The reasoning types among some, each once."""
    found = set(types) - {""}
    return [name for name in TYPES if name in found] + sorted(found - set(TYPES))
