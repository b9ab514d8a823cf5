"""Let Griffe, which reads docstrings for the site, find sections that follow each other without a blank line."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"(?<=\S)\n(?=(?:Args|Returns|Yields|Raises):\n)")


class DocstringSections(griffe.Extension):
    """A blank line before each section of a docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Insert the blank lines."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub("\n\n", obj.docstring.value)
