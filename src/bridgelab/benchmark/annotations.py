"""Files of annotations: JSON, JSON lines and plain text, in UTF-8, with or without its mark, and with either end of a line."""

import codecs
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

LFS = b"version https://git-lfs.github.com/spec/"
NAMED = 8  # keys that a message names
AGAIN = "Get the file again."


def read_bytes(path: Path) -> bytes:
    """A file's content without the mark of UTF-8, which some editors write first.

    Raises:
        ValueError: if git-lfs has left a pointer in its place.
    """
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if content.startswith(LFS):
        raise ValueError(
            f"{path} is a pointer of git-lfs in place of the file: its content must be there. Run `git lfs pull` in its "
            "repository."
        )
    return content


def read_text(path: Path) -> str:
    """A file's text, its lines ended by a line feed alone.

    Raises:
        ValueError: if it is not UTF-8, or as `read_bytes`.
    """
    try:
        return read_bytes(path).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} can't be read ({error}): it must be text in UTF-8. {AGAIN}") from error


def read_json(path: Path, wanted: str) -> Any:
    """A whole file of JSON.

    Args:
        wanted: what it should hold, for the message.
    Raises:
        ValueError: if it is no JSON, or as `read_bytes`.
    """
    content = read_bytes(path)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}: {error}): it must be JSON with {wanted}. {AGAIN}"
        ) from error


def another_layout(path: Path, content: Any, wanted: str, error: Exception | None = None) -> ValueError:
    """The error for a file that is whole but not what is expected: getting it again would not help.

    Args:
        content: what the file holds.
        wanted: what it should hold.
        error: what came of reading it.
    """
    problem = f"{type(error).__name__}: {error}" if error else f"it is a {type(content).__name__}"
    return ValueError(
        f"{path} can't be read ({problem}): it must be JSON with {wanted}. It holds {shape(content)}, which is another "
        "layout: give a file of this one."
    )


def shape(content: Any) -> str:
    """What JSON holds, in words: a list of how many objects, an object of which keys, and whose layout that is, if known."""
    if isinstance(content, list):
        first = content[0] if content else None
        told = f"a list of {len(content)}" + (f", of which the first is {shape(first)}" if content else "")
        return f"{told} (VizWiz's)" if isinstance(first, dict) and "answerable" in first else told
    if isinstance(content, dict):
        keys = list(content)
        told = f"an object with {', '.join(keys[:NAMED])}" if keys else "an object without keys"
        told += ", …" * (len(keys) > NAMED)
        return f"{told} (COCO's own)" if {"images", "annotations"} <= content.keys() else told
    return f"a {type(content).__name__}"


def read_lines(
    path: Path, keys: Mapping[str, type], check: Callable[[dict[str, Any]], object] | None = None
) -> list[dict[str, Any]]:
    """All objects of a file, in its order; blank lines are passed over.

    Args:
        keys: what each object must have, and of which type.
        check: raises where an object is not as it should be.
    Raises:
        ValueError: if a line is no JSON object, lacks a key, has something else under it, or does not pass the check.
    """
    lines: list[dict[str, Any]] = []
    wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
    content = read_bytes(path)
    # Of bytes, since JSON may hold characters at which a string would be split into lines too.
    for number, text in enumerate(content.splitlines(), start=1):
        if not text.strip():
            continue
        line: Any = None
        try:
            line = orjson.loads(text)
            if not isinstance(line, dict):
                raise ValueError(f"it is a {type(line).__name__}")
            for key, kind in keys.items():
                if key not in line:
                    raise ValueError(f"lacks {key}")
                if not isinstance(line[key], kind):
                    raise ValueError(f"{key}={line[key]!r}")
            if check:
                check(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = None if lines else _other(line, keys, content)
            fix = f"It holds {found}, which is another layout: give a file of this one." if found else AGAIN
            raise ValueError(
                f"{path}, line {number} is malformed ({error}): each must be one JSON object with {wanted}. {fix}"
            ) from error
        lines.append(line)
    return lines


def _other(first: Any, keys: Mapping[str, type], content: bytes) -> str | None:
    """What a file holds whose first line is not as it should be, where that is another layout."""
    if isinstance(first, dict):
        return shape(first) if keys.keys() - first.keys() else None
    try:
        return shape(orjson.loads(content))  # JSON as a whole
    except orjson.JSONDecodeError:
        return None
