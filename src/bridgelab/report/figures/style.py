"""How pictures look: colours, markers and lines, alike in all of them; what an outcome looks like."""

import re
from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.statistics.verdict import BREAKS, CANNOT_TELL, HOLDS, LEADS

# Okabe and Ito's colours, told apart by colour-blind readers too; markers say the same a second time.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
# A line style of matplotlib: a name, or an offset and the lengths of dashes and blanks.
Dash = str | tuple[int, tuple[int, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 2)), (0, (2, 1)))
# Floors and ceilings are no bridges: grey and black lines, told apart by their dashes.
LINES: dict[str, tuple[str, Dash]] = {
    "blind": ("#777777", "-"),
    "shuffled": ("#777777", ":"),
    "majority": ("#777777", (0, (4, 2))),
    "words": ("#000000", (0, (4, 2))),
    "words_patch_like": ("#000000", (0, (1, 2))),
    "words_prompted": ("#000000", "-"),
}
UNKNOWN: tuple[str, Dash] = ("#777777", (0, (1, 3)))
# Colour and sign say the same, so that either will do. Okabe and Ito's vermilion and blue, lightened for black letters.
LOOKS = {
    BREAKS: ("#F0A27A", "▼"),
    LEADS: ("#8EC3E6", "▲"),
    HOLDS: ("#D9D9D9", "="),
    CANNOT_TELL: ("#FFFFFF", "?"),
}


def save(figure: Figure, to: Path | BinaryIO) -> None:
    """Write the picture as PNG."""
    figure.savefig(to, dpi=150, format="png", facecolor="white")


def plain(text: str) -> str:
    """Text that matplotlib takes as it is."""
    return text.replace("$", r"\$")  # a name is no formula


def short(label: str) -> str:
    """A row's label with only the last part of what is swept: `budget.tokens=4` is `tokens=4`."""
    return plain(re.sub(r"[\w.]*\.(\w+=)", r"\1", label))


def style(index: int) -> tuple[str, str, Dash]:
    """The colour, the marker and the line style of a study's bridge number `index`: of 36 bridges no two look alike."""
    again = index // len(COLOURS)
    return COLOURS[index % len(COLOURS)], MARKERS[(index + again) % len(MARKERS)], DASHES[again % len(DASHES)]


def tidy(axes: Axes) -> None:
    """No frame above and to the right, and light lines across."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
