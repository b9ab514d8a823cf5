"""Tags of examples that count something, and their levels."""

import pandas as pd

MOST = 8  # levels of a tag that stand by themselves; more are put together
TOGETHER = 6  # groups of about as many questions each
LEAST = 20  # questions of a level, else it is no level


def counted_tags(asked: pd.DataFrame) -> dict[str, pd.Series]:
    """The tags of some examples that are numbers, by name."""
    tags = [str(name) for name in asked if str(name).startswith("tag_") and name != "tag_group"]
    numbers = {name.removeprefix("tag_"): pd.to_numeric(asked[name], errors="coerce") for name in tags}
    return {name: values for name, values in numbers.items() if values.notna().any()}


def levels(values: pd.Series) -> list[tuple[float, float]]:
    """The levels of a tag, lowest and highest number of each; of many numbers, groups of about as many questions each."""
    known = values.dropna()
    counts = known.value_counts().sort_index()
    if len(counts) <= MOST:
        return [(float(level), float(level)) for level, count in counts.items() if count >= LEAST]
    groups = pd.qcut(known, TOGETHER, duplicates="drop")
    spans = known.groupby(groups, observed=True).agg(["min", "max", "size"])
    return [(float(low), float(high)) for low, high, size in spans.to_numpy() if size >= LEAST]
