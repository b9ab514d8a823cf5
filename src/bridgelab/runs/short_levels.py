"""Short names for levels that are long paths, so that a table's rows tell what differs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

from bridgelab.runs.run import Run

LONGEST = 24  # characters of a level that is left as it is

_PARTS = re.compile(r"[^_/,]+|[_/,]+")  # words and what separates them; a folder's name has _ for /


def with_short_levels(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with each long level as `short_names` calls it."""
    factors = {name: [run.levels[name] for run in runs if run.levels.get(name)] for name in _factors(runs)}
    short = {name: short_names(levels) for name, levels in factors.items()}
    return [
        replace(run, levels={name: short[name].get(level, level) for name, level in run.levels.items()})
        for run in runs
    ]


def short_names(levels: Iterable[str]) -> dict[str, str]:
    """Return a name for each level, without the words at its start and its end that all levels share.

    `runs_vit_16_weights.pt` and `runs_vit_8_weights.pt` become `vit_16` and `vit_8`: a number keeps the word before it. Levels stay as they
    are if one of them is short, or would be left without a word.
    """
    words = {level: _PARTS.findall(level) for level in dict.fromkeys(levels)}
    if len(words) < 2 or min(map(len, words)) <= LONGEST:
        return {level: level for level in words}
    start = _shared(list(words.values()))
    end = _shared([parts[start:][::-1] for parts in words.values()])
    left = {level: parts[start : len(parts) - end] for level, parts in words.items()}
    if any(parts and parts[0].isdecimal() for parts in left.values()):
        left = {level: [*words[level][max(start - 2, 0) : start], *parts] for level, parts in left.items()}
    names = {level: "".join(parts).strip("_/,") for level, parts in left.items()}
    return names if all(names.values()) else {level: level for level in words}


def _factors(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.levels))


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Return how many words all lists start with."""
    return len(list(takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))))
