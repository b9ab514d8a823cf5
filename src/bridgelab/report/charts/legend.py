"""The legend of a figure on a page: as HTML it wraps on a phone, is read aloud, and is shared by charts side by side."""

from dataclasses import dataclass
from typing import Any

from bridgelab.report.charts.palette import GREY

# Outlines of Vega's shapes in a square from −6 to 6.
PATHS = {
    "circle": "M-5,0A5,5,0,1,1,5,0A5,5,0,1,1,-5,0Z",
    "square": "M-4.5,-4.5h9v9h-9Z",
    "triangle-up": "M0,-5L5.5,4.5H-5.5Z",
    "triangle-down": "M0,5L5.5,-4.5H-5.5Z",
    "triangle-right": "M5,0L-4.5,5.5V-5.5Z",
    "triangle-left": "M-5,0L4.5,5.5V-5.5Z",
    "diamond": "M0,-6L5,0L0,6L-5,0Z",
    "cross": "M-2,-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5Z",
}


@dataclass(frozen=True)
class Entry:
    """One entry: a bridge with its symbol, or a floor or ceiling with its line.

    Args:
        label: its name.
        colour: of the symbol.
        path: the outline of the symbol; empty for a line.
        dash: of the line; empty for a symbol.
    """

    label: str
    colour: str
    path: str = ""
    dash: str = ""


def legend_entries(spec: dict[str, Any]) -> list[Entry]:
    """Return the entries of a chart's legends: bridges, then floors and ceilings.

    Args:
        spec: the chart as a Vega-Lite specification.
    """
    scales: dict[str, dict[str, str]] = {"color": {}, "shape": {}, "strokeDash": {}}
    _collect(spec, scales)
    bridges = [
        Entry(name, colour, path=PATHS[scales["shape"].get(name, "circle")])
        for name, colour in scales["color"].items()
    ]
    return bridges + [Entry(name, GREY, dash=dash) for name, dash in scales["strokeDash"].items()]


def _collect(spec: dict[str, Any], scales: dict[str, dict[str, str]]) -> None:
    """Add the values of all encodings that have a legend to `scales`, by channel and label."""
    for layer in spec.get("layer", ()):
        _collect(layer, scales)
    for channel, found in scales.items():
        encoding = spec.get("encoding", {}).get(channel, {})
        if encoding.get("legend"):
            scale = encoding["scale"]
            for name, value in zip(scale["domain"], scale["range"], strict=True):
                found[name] = " ".join(map(str, value)) if isinstance(value, list) else value
