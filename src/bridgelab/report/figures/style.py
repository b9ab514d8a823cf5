"""How pictures look: colours, markers and lines of bridges, floors, ceilings and outcomes."""

import re
from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from bridgelab.statistics.verdict import BREAKS, CANNOT_TELL, HOLDS, LEADS

# Okabe and Ito's colours, which colour-blind readers can tell apart; markers repeat the distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#777777"
# A line style of matplotlib: a name, or an offset and the lengths of dashes and gaps.
Dash = str | tuple[int, tuple[int, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 2)), (0, (2, 1)))
# Floors and ceilings are no bridges: grey and black lines, distinguished by their dashes.
LINES: dict[str, tuple[str, Dash]] = {
    "blind": (GREY, "-"),
    "shuffled": (GREY, ":"),
    "majority": (GREY, (0, (4, 2))),
    "words": ("#000000", (0, (4, 2))),
    "words_patch_like": ("#000000", (0, (1, 2))),
    "words_prompted": ("#000000", "-"),
}
OTHER_LINE: tuple[str, Dash] = (GREY, (0, (1, 3)))
# Either the colour or the sign tells the outcome. Okabe and Ito's vermilion and blue, lightened below black letters.
OUTCOMES = {
    BREAKS: ("#F0A27A", "▼"),
    LEADS: ("#8EC3E6", "▲"),
    HOLDS: ("#D9D9D9", "="),
    CANNOT_TELL: ("#FFFFFF", "?"),
}


def save(figure: Figure, to: Path | BinaryIO) -> None:
    """Write the picture as PNG."""
    figure.savefig(to, dpi=150, format="png", facecolor="white")


def escape_mathtext(text: str) -> str:
    """Escape dollar signs, between which matplotlib would read a formula."""
    return text.replace("$", r"\$")


def short_label(label: str) -> str:
    """Return a row's label with only the last part of each swept key: `budget.tokens=4` becomes `tokens=4`."""
    return escape_mathtext(re.sub(r"[\w.]*\.(\w+=)", r"\1", label))


def bridge_style(index: int) -> tuple[str, str, Dash]:
    """Return colour, marker and line style of a study's bridge number `index`; those of the first 36 bridges all differ."""
    again = index // len(COLOURS)
    return COLOURS[index % len(COLOURS)], MARKERS[(index + again) % len(MARKERS)], DASHES[again % len(DASHES)]


def tidy_axes(axes: Axes) -> None:
    """Remove the frame above and to the right, and draw light horizontal lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)


def legend_above(figure: Figure, axes: Axes) -> Legend:
    """Draw the legend of one panel above all panels of a figure."""
    handles, labels = axes.get_legend_handles_labels()
    return figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
