"""A figure of a report: charts that belong together."""

from dataclasses import dataclass

import altair as alt


@dataclass(frozen=True)
class Figure:
    """One or more charts side by side.

    Args:
        name: anchor and file name, such as "accuracy".
        title: what it shows.
        note: how to read it, in one or two sentences.
        panels: the charts, without a theme; as wide as their container.
    """

    name: str
    title: str
    note: str
    panels: tuple[alt.LayerChart | alt.Chart, ...]

    @property
    def description(self) -> str:
        """What it shows, for those who cannot see it."""
        return f"{self.title}. {self.note} The numbers are in the table below."
