"""Annotation files: JSON, JSON lines and text in UTF-8, with or without a byte order mark, with either line ending."""

import codecs
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

LFS_HEADER = b"version https://git-lfs.github.com/spec/"
KEYS_IN_MESSAGE = 8
MAX_DEPTH = 254  # levels that `orjson.dumps` writes
GET_AGAIN = "Get the file again."


def require(path: Path, layout: str, fix: str) -> Path:
    """Return the path if it exists.

    Args:
        path: of a file or folder.
        layout: the expected layout, for the message.
        fix: what to do if it is missing, for the message.
    Raises:
        FileNotFoundError: if it does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Expected layout: {layout}. {fix}")
    return path


def under(root: str | Path, *names: object) -> str:
    """Return the path of a file under the root that an annotation names.

    Raises:
        ValueError: if the name leads out of the root.
    """
    path = "/".join(str(name) for name in names)
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(
            f"{path!r} leads out of {root}: an annotation may only name files under it. Correct the annotation."
        )
    return f"{root}/{path}"  # building a Path for each example takes seconds


def read_bytes(path: Path) -> bytes:
    """Return a file's content without a byte order mark.

    Raises:
        ValueError: if the file is a Git LFS pointer.
    """
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if content.startswith(LFS_HEADER):
        raise ValueError(
            f"{path} is a Git LFS pointer instead of the file: its content is missing. In its repository, run: git lfs pull"
        )
    return content


def read_text(path: Path) -> str:
    """Return a file's text with line feeds as line endings.

    Raises:
        ValueError: if it is not UTF-8, or as `read_bytes`.
    """
    try:
        return read_bytes(path).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} can't be read ({error}): it must be text in UTF-8. {GET_AGAIN}") from error


def parse_json(content: bytes | str) -> Any:
    """Return JSON of anybody's, if it is not nested so deeply that showing it in a message would end in a RecursionError.

    Raises:
        ValueError: if it is not JSON, or nested more than `MAX_DEPTH` levels deep.
    """
    content = content.encode() if isinstance(content, str) else content
    value = orjson.loads(content)  # up to 1,023 levels
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH:
        try:
            orjson.dumps(value)  # up to MAX_DEPTH levels, and much faster than a walk
        except orjson.JSONEncodeError as error:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep") from error
    return value


def read_json(path: Path, expected: str) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        expected: what it should hold, for the message.
    Raises:
        ValueError: if it is not JSON, or as `read_bytes`.
    """
    content = read_bytes(path)
    try:
        return parse_json(content)
    except ValueError as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}: {error}): it must be JSON with {expected}. {GET_AGAIN}"
        ) from error


def read_list(path: Path, key: str | None = None, of: type = dict) -> list[Any]:
    """Return the list that a JSON file holds, or holds under a key.

    Args:
        path: of the file.
        key: the key, or None if the file holds nothing but the list.
        of: the type of its entries.
    Raises:
        ValueError: if it holds something else, or as `read_json`.
    """
    expected = "a list" if key is None else f"a list under {key!r}"
    content = read_json(path, expected)
    try:
        entries = content if key is None else content[key]
    except (KeyError, TypeError) as error:
        raise layout_error(path, content, expected, error) from error
    if not isinstance(entries, list) or not all(isinstance(entry, of) for entry in entries):
        raise layout_error(path, content, f"{expected} of {of.__name__}")
    return entries


def read_jsonl(
    path: Path, keys: Mapping[str, type], check: Callable[[dict[str, Any]], object] | None = None
) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file in order. Blank lines are skipped.

    Args:
        path: of the file.
        keys: keys that each object must have, and the types of their values.
        check: raises if an object is malformed.
    Raises:
        ValueError: if a line is not a JSON object, lacks a key, has a value of another type, or fails the check; or as
            `read_bytes`.
    """
    objects: list[dict[str, Any]] = []
    expected = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
    content = read_bytes(path)
    # Split bytes, not text: JSON may hold characters at which str.splitlines would split too.
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        value: Any = None
        try:
            value = parse_json(line)
            _check_keys(value, keys)
            if check:
                check(value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            other = None if objects else _other_layout(value, keys, content)
            fix = (
                f"It holds {other}, which is another layout: give a file of this one." if other else GET_AGAIN
            )
            raise ValueError(
                f"{path}, line {number} is malformed ({error}): each must be one JSON object with {expected}. {fix}"
            ) from error
        objects.append(value)
    return objects


def layout_error(path: Path, content: Any, expected: str, error: Exception | None = None) -> ValueError:
    """Return the error for a complete file of another layout, which getting the file again would not fix.

    Args:
        path: of the file.
        content: what the file holds.
        expected: what it should hold.
        error: the exception that reading it raised.
    """
    problem = f"{type(error).__name__}: {error}" if error else f"it is a {type(content).__name__}"
    return ValueError(
        f"{path} can't be read ({problem}): it must be JSON with {expected}. It holds {describe(content)}, which is another "
        "layout: give a file of this one."
    )


def describe(content: Any) -> str:
    """Describe JSON content in words: its type, length or keys, and whose layout it is, if known."""
    if isinstance(content, list):
        first = content[0] if content else None
        text = f"a list of {len(content)}" + (f", of which the first is {describe(first)}" if content else "")
        return f"{text} (VizWiz's)" if isinstance(first, dict) and "answerable" in first else text
    if isinstance(content, dict):
        keys = list(content)
        text = f"an object with {', '.join(keys[:KEYS_IN_MESSAGE])}" if keys else "an object without keys"
        text += ", …" * (len(keys) > KEYS_IN_MESSAGE)
        return f"{text} (COCO's own)" if {"images", "annotations"} <= content.keys() else text
    return f"a {type(content).__name__}"


def _check_keys(value: Any, keys: Mapping[str, type]) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}")
    for key, kind in keys.items():
        if key not in value:
            raise ValueError(f"lacks {key}")
        if not isinstance(value[key], kind):
            raise ValueError(f"{key}={value[key]!r}")


def _other_layout(first: Any, keys: Mapping[str, type], content: bytes) -> str | None:
    """Describe a file whose first line is malformed, or return None if it does not look like another layout."""
    if isinstance(first, dict):
        return describe(first) if keys.keys() - first.keys() else None
    try:
        return describe(parse_json(content))  # the file as one JSON value
    except ValueError:
        return None
