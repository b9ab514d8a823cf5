"""Fill the marked blocks of README.md and docs/*.md with what their commands print.

A block begins with `<!-- bridgelab COMMAND ... -->` and ends with `<!-- end -->`, each in a line of its own. The command
runs in the checkout. `tests/test_blocks.py` holds every block equal to what its command prints.

    .venv/bin/python docs/fill_blocks.py
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

from bridgelab.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^<!-- bridgelab ([^\n]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """Return the documents that may have blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def printed(command: str) -> str:
    """Return what a command prints.

    Raises:
        RuntimeError: if the command fails.
    """
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        status = main(shlex.split(command))
    if status:
        raise RuntimeError(f"bridgelab {command} ended with status {status}. Correct the block's command.")
    return told.getvalue()


def filled(text: str) -> str:
    """Return a document whose blocks hold what their commands print."""
    return BLOCK.sub(lambda block: f"<!-- bridgelab {block[1]} -->\n{printed(block[1])}<!-- end -->", text)


if __name__ == "__main__":
    for path in documents():
        before = path.read_text()
        after = filled(before)
        if after != before:
            path.write_text(after)
            print(f"{path.relative_to(ROOT)}: changed")
