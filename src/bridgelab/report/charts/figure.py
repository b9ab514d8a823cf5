"""A figure of a report: charts that belong together, and the numbers that they show."""

from dataclasses import dataclass

import altair as alt
import pandas as pd


@dataclass(frozen=True)
class Figure:
    """One or more charts side by side, with one table of numbers.

    Args:
        name: anchor and file name, such as "accuracy".
        title: what it shows.
        note: how to read it, in one or two sentences.
        panels: the charts, without a theme; as wide as their container.
        numbers: what the charts show, one row a number, in percent or points.
    """

    name: str
    title: str
    note: str
    panels: tuple[alt.LayerChart | alt.Chart, ...]
    numbers: pd.DataFrame

    @property
    def description(self) -> str:
        """What it shows, for those who cannot see it."""
        return f"{self.title}. {self.note} The numbers are in the table below."
