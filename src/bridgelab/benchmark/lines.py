"""Files of JSON lines: one object a line, each with the keys that it must have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


def read_lines(path: Path, keys: Mapping[str, type]) -> list[dict[str, Any]]:
    """All objects of a file, in its order; blank lines are passed over.

    Args:
        keys: what each object must have, and of which type.
    Raises:
        ValueError: if a line is no JSON object, lacks a key, or has something else under it.
    """
    lines = []
    # Of bytes, since JSON may hold characters at which a string would be split into lines too.
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = orjson.loads(text)
            if not isinstance(line, dict):
                raise ValueError(f"it is a {type(line).__name__}")
            for key, kind in keys.items():
                if key not in line:
                    raise ValueError(f"lacks {key}")
                if not isinstance(line[key], kind):
                    raise ValueError(f"{key}={line[key]!r}")
        except ValueError as error:
            wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
            raise ValueError(
                f"{path}, line {number} is malformed ({error}): each must be one JSON object with {wanted}. "
                "Get the file again."
            ) from error
        lines.append(line)
    return lines
