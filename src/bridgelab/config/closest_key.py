"""Suggestions for a name that does not exist. Free of torch."""

import difflib
from collections.abc import Iterable

from bridgelab.runs.older_names import current_key


def nearest(name: str, options: Iterable[str]) -> str:
    """Return today's name of a key that was renamed, or a question after the nearest name, or nothing."""
    if current_key(name) != name:
        return f". It is now {current_key(name)}. Write the new name"
    close = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.5)
    return f". Did you mean {close[0]}?" if close else ""
