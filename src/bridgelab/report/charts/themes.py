"""The light and the dark theme of charts, as configs of Vega-Lite. Specifications name styles; a theme gives these their colours."""

from typing import Any, Literal

from bridgelab.report.charts.palette import GREY
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS

Theme = Literal["light", "dark"]
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"
# Names of the styles that a chart gives to marks whose colour depends on the theme.
SOFT = "soft"  # text that stands back
CELLS = {BREAKS: "cell-breaks", LEADS: "cell-leads", HOLDS: "cell-holds", CANNOT_TELL: "cell-open"}

# Okabe and Ito's vermilion and blue, lightened below dark letters and darkened below light ones.
_FILLS = {
    "light": {BREAKS: "#F3B08D", LEADS: "#9CCBEA", HOLDS: "#DDDDDD", CANNOT_TELL: "#FFFFFF"},
    "dark": {BREAKS: "#93400A", LEADS: "#0B5A8C", HOLDS: "#4A4E54", CANNOT_TELL: "#16181B"},
}
_INKS = {
    "light": {"text": "#1a1a1a", "soft": "#5a5a5a", "grid": "#e6e6e6", "page": "#ffffff"},
    "dark": {"text": "#e6e6e6", "soft": "#a3a8af", "grid": "#33373c", "page": "#16181b"},
}


def page_colour(theme: Theme) -> str:
    """Return the background that a theme is made for."""
    return _INKS[theme]["page"]


def config(theme: Theme) -> dict[str, Any]:
    """Return a theme as Vega-Lite's `config`, with a transparent background."""
    ink = _INKS[theme]
    fills = {CELLS[outcome]: {"color": fill} for outcome, fill in _FILLS[theme].items()}
    text = {"labelColor": ink["soft"], "titleColor": ink["text"], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": "transparent",
        "font": FONT,
        "aria": False,  # a chart is one picture with a description; its numbers are a table of the page
        "view": {"stroke": None},
        "title": {"color": ink["text"], "anchor": "start", "fontSize": 13, "fontWeight": 600},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "gridColor": ink["grid"],
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
        },
        "legend": {
            **text,
            "labelColor": ink["text"],
            "title": None,
            "orient": "top",
            "labelLimit": 320,
            "symbolSize": 70,
            "layout": {"top": {"anchor": "start", "direction": "vertical", "margin": 6}},
        },
        "text": {"color": ink["text"], "fontSize": 12},
        "rule": {"color": GREY},
        "style": {SOFT: {"color": ink["soft"]}, **fills},
    }
