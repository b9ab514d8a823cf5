"""Text from elsewhere as text alone: what a record, a file's name or a model says may be shown, and may not act."""

import re

_APART = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# Control characters, halves of surrogate pairs, and marks that turn the direction of what follows.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """One line that a terminal shows and does not obey: a space for what ends a line, and � for what is no character.

    A newline would end a comment of LaTeX's, and what follows be read as its commands.
    """
    if text.isprintable():
        return text
    return _ACTING.sub("\N{REPLACEMENT CHARACTER}", _APART.sub(" ", text))
