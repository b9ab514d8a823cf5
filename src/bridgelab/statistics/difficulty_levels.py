"""Levels of difficulty: the values of tags that count something, such as objects or hops."""

import pandas as pd
from pandas.api.types import is_numeric_dtype

MAX_SINGLE_LEVELS = 8  # tags with more values are grouped
NUM_GROUPS = 6  # of about as many questions each
MIN_QUESTIONS = 20  # of a level


def numeric_tags(examples: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the tags of examples that are numbers, by name. A text such as '2' is a name, of a pair for example, and no level."""
    columns = [str(name) for name in examples if str(name).startswith("tag_") and name != "tag_group"]
    numbers = {
        name.removeprefix("tag_"): examples[name] for name in columns if is_numeric_dtype(examples[name])
    }
    return {name: values for name, values in numbers.items() if values.notna().any()}


def difficulty_levels(values: pd.Series) -> list[tuple[float, float]]:
    """Return the levels of a tag as (lowest, highest) number; many numbers are grouped into quantiles.

    Levels with fewer than `MIN_QUESTIONS` questions are left out.
    """
    known = values.dropna()
    counts = known.value_counts().sort_index()
    if len(counts) <= MAX_SINGLE_LEVELS:
        return [(float(level), float(level)) for level, count in counts.items() if count >= MIN_QUESTIONS]
    groups = pd.qcut(known, NUM_GROUPS, duplicates="drop")
    spans = known.groupby(groups, observed=True).agg(["min", "max", "size"])
    return [(float(low), float(high)) for low, high, size in spans.to_numpy() if size >= MIN_QUESTIONS]
