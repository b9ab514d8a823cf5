"""Text from records, file names and models, made safe to print."""

import re
import shlex
from pathlib import Path

_LINE_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# Control characters, lone surrogates, and marks that change the direction of the text after them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_FORMULA_STARTS = tuple("=+-@\t\r")  # a spreadsheet skips a tab or a line break


def printable(text: str) -> str:
    """Return one line that a terminal shows and does not obey: line breaks become a space, control characters �.

    A line break must go because it would end a comment in LaTeX, and what follows would run as commands.
    """
    if text.isprintable():
        return text
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _LINE_BREAKS.sub(" ", text))


def as_csv_cell(text: str) -> str:
    """Return text with ' before what a spreadsheet would compute as a formula: one may load an address with what other cells hold."""
    return f"'{text}" if text[:1] in _FORMULA_STARTS else text


def printable_json(text: str) -> str:
    """Return JSON with the same content, in which characters that a terminal obeys or can't encode are escaped."""
    return _CONTROLS.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def shown(path: Path) -> str:
    """Return a path relative to the working folder if it lies below it, quoted for a shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
