"""Values as they are written in an override, in Hydra's quotes if they need them."""

import re

PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # needs no quotes in an override


def quoted(value: str) -> str:
    """Return a value for an override, in Hydra's quotes if it needs them."""
    if PLAIN.fullmatch(value):
        return value
    from hydra.core.override_parser.types import Quote, QuotedString

    # Hydra takes a backslash for itself, except before the quote; so not every one may be doubled.
    return str(QuotedString(value, Quote.single).with_quotes())
