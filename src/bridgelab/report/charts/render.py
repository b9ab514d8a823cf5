"""A chart as an HTML fragment, a PNG, an SVG or a PDF. Nothing of it needs a network."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.legend import legend_entries
from bridgelab.report.charts.themes import config, page_colour
from bridgelab.report.formats.html import render

VEGA_LITE = ".".join(alt.VEGALITE_VERSION.split(".")[:2])
WIDTH = 680  # pixels of a chart by itself
PANEL_WIDTH = 300  # pixels of a chart beside others
COLUMNS = 3  # charts side by side
SPACING = {"row": 84, "column": 64}  # pixels between them, for their axes and titles
LEGENDS = ("color", "shape", "strokeDash")  # channels that may have a legend


def vega_lite(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return a chart's specification with all of its rows: by default Altair refuses more than 5,000, as large studies have."""
    with alt.data_transformers.enable("default", max_rows=None):
        specification: dict[str, Any] = chart.to_dict()
    return specification


def fragment(figure: Figure) -> Markup:
    """Return a figure for a page: note, legend and charts, which `script` draws. Title and numbers are not part of it."""
    specs = [vega_lite(panel) for panel in figure.panels]
    panels = [json.dumps(without_legends(spec), allow_nan=False) for spec in specs]
    return Markup(render("chart.html.jinja", figure=figure, panels=panels, legend=legend_entries(specs[0])))


@cache
def script() -> str:
    """Return the script that draws all charts of a page: Vega, Vega-Lite, Vega-Embed, the themes, and the drawing itself.

    It evaluates no text as code, so a content security policy may allow it by its hash alone.
    """
    themes = json.dumps({theme: config(theme) for theme in ("light", "dark")})
    own = files("bridgelab.report").joinpath("templates", "charts.js").read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle(f"const THEMES = {themes};\n{own}", vl_version=VEGA_LITE)
    return bundle.replace("</script", "<\\/script")


def to_png(figure: Figure, *, width: int | None = None, scale: float = 2.0) -> bytes:
    """Return a figure as PNG in the light theme, on its background.

    Args:
        figure: the figure; several panels stand side by side.
        width: of each panel in pixels; by default `WIDTH`, or `PANEL_WIDTH` for several panels.
        scale: pixels of the picture per pixel of the chart.
    """
    opaque = config("light") | {"background": page_colour("light"), "padding": 14}
    png: bytes = vl_convert.vegalite_to_png(
        specification(figure, width), vl_version=VEGA_LITE, scale=scale, config=opaque
    )
    return png


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG with a transparent background, in the light theme."""
    svg: str = vl_convert.vegalite_to_svg(specification(figure), vl_version=VEGA_LITE, config=config("light"))
    return svg


def to_pdf(figure: Figure) -> bytes:
    """Return a figure as PDF with its text as text, in the light theme."""
    pdf: bytes = vl_convert.vegalite_to_pdf(
        specification(figure), vl_version=VEGA_LITE, config=config("light")
    )
    return pdf


def specification(figure: Figure, width: int | None = None) -> dict[str, Any]:
    """Return a figure as one Vega-Lite specification of a fixed width, with its title."""
    specs = [vega_lite(panel) for panel in figure.panels]
    title = {"text": figure.title, "offset": 14}
    if len(specs) == 1:
        return sized(specs[0], width or WIDTH) | {"title": title}
    width = width or PANEL_WIDTH
    panels = [_part(sized(without_legends(spec), width)) for spec in specs]
    columns = min(COLUMNS, len(panels))
    legends = [_part(sized(legend, width * columns)) for legend in legend_alone(specs[0])]
    return {
        "$schema": specs[0]["$schema"],
        "title": title,
        "vconcat": [*legends, {"concat": panels, "columns": columns, "spacing": SPACING, "bounds": "flush"}],
        "datasets": {name: rows for spec in specs for name, rows in spec["datasets"].items()},
        "resolve": {"scale": dict.fromkeys(LEGENDS, "independent")},
    }


def without_legends(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification whose scales have no legends."""

    def change(unit: dict[str, Any]) -> dict[str, Any]:
        encoding = unit.get("encoding", {})
        hidden = {
            name: encoding[name] | {"legend": None} for name in LEGENDS if "field" in encoding.get(name, {})
        }
        return unit | {"encoding": encoding | hidden}

    return _map_units(spec, change)


def legend_alone(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a specification that shows the legends of another one and nothing else; an empty list if that has none."""

    def change(unit: dict[str, Any]) -> dict[str, Any]:
        encoding = unit.get("encoding", {})
        shown = {name: encoding[name] for name in LEGENDS if encoding.get(name, {}).get("legend")}
        return unit | {"encoding": shown, "mark": unit["mark"] | {"opacity": 0}}

    only = _map_units(spec, change)
    only.pop("title", None)
    units = [unit for unit in _units(only) if unit["encoding"]]
    only = {name: value for name, value in only.items() if name not in ("layer", "mark", "encoding")}
    return [only | {"layer": units, "height": 1}] if units else []


def sized(spec: dict[str, Any], width: int) -> dict[str, Any]:
    """Return a specification with a fixed width, and as many columns of legends as fit into it."""

    def change(unit: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(unit).replace("floor((width + 60)", f"floor(({width} + 60)"))

    return _map_units(spec, change) | {"width": width}


def _part(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification as a part of another one, which holds its data."""
    return {name: value for name, value in spec.items() if name not in ("$schema", "config", "datasets")}


def _units(spec: dict[str, Any]) -> list[dict[str, Any]]:
    if "layer" not in spec:
        return [spec]
    return [unit for layer in spec["layer"] for unit in _units(layer)]


def _map_units(spec: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return a specification with each of its units, which have a mark, changed."""
    if "layer" in spec:
        return spec | {"layer": [_map_units(layer, change) for layer in spec["layer"]]}
    return change(spec)
