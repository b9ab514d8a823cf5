"""One specification as a fragment of a page, as PNG, as SVG and as PDF; and the fragment in a real browser, without a network."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from io import BytesIO

import altair as alt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bridgelab.report.charts.legend import PATHS, legend_entries
from bridgelab.report.charts.palette import BRIDGES, SHAPES
from bridgelab.report.charts.render import (
    fragment,
    script,
    specification,
    to_pdf,
    to_png,
    to_svg,
    vega_lite,
    without_legends,
)
from bridgelab.report.charts.study import study_figures
from bridgelab.report.charts.themes import page_colour
from bridgelab.report.contents import analyze
from bridgelab.report.formats.html import asset
from bridgelab.runs.study import read_study


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    from simulated_study import Simulated

    analysis = analyze(read_study(Simulated(tmp_path_factory.mktemp("runs")).write(images=20)))
    found = study_figures(analysis.study, analysis.summary, analysis.difficulties, None)
    return {figure.name: figure for figure in found}


def test_a_picture_is_drawn_on_the_colour_of_its_theme(figures):
    picture = Image.open(BytesIO(to_png(figures["accuracy"], scale=1)))
    pixels = np.asarray(picture.convert("RGB"))
    assert "#{:02x}{:02x}{:02x}".format(*pixels[2, 2]) == page_colour("light")
    assert pixels.std() > 5
    assert to_png(figures["accuracy"], scale=1) == to_png(figures["accuracy"], scale=1)


def test_a_chart_of_many_runs_has_all_of_its_points():
    table = pd.DataFrame({"step": range(6000), "accuracy": 50.0})
    assert len(next(iter(vega_lite(alt.Chart(table).mark_point())["datasets"].values()))) == 6000


def test_a_paper_has_letters_as_letters(figures):
    svg = to_svg(figures["accuracy"])
    assert ">qformer<" in svg
    assert "<text" in svg
    assert to_pdf(figures["accuracy"]).startswith(b"%PDF")


def test_several_charts_stand_side_by_side_under_one_legend(figures):
    costs = figures["costs"]
    assert len(costs.panels) == 3
    spec = specification(costs)
    legend, charts = spec["vconcat"]
    assert len(charts["concat"]) == 3
    assert not any(isinstance(found, dict) for found in legends(charts))
    assert any(isinstance(found, dict) for found in legends(legend))
    assert to_svg(costs).count(">qformer<") == 1
    assert "(width" not in json.dumps(legend)  # a signal that charts side by side do not have


def legends(spec):
    """Every `legend` in a specification."""
    if isinstance(spec, dict):
        return [value for key, value in spec.items() if key == "legend"] + [
            one for value in spec.values() for one in legends(value)
        ]
    return [one for value in spec for one in legends(value)] if isinstance(spec, list) else []


class Charts(HTMLParser):
    """The charts of a page, and how many scripts it has."""

    def __init__(self, text):
        super().__init__()
        self.specs, self.labels, self.scripts = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.scripts += tag == "script"
        if "data-chart" in found:
            self.specs.append(json.loads(found["data-chart"]))
            self.labels.append((found["role"], found["aria-label"]))


def test_a_fragment_carries_its_specification_and_its_description(figures):
    text = fragment(figures["accuracy"])
    found = Charts(text)
    assert found.specs == [without_legends(figures["accuracy"].panels[0].to_dict())]
    assert found.labels == [("img", figures["accuracy"].description)]
    assert found.scripts == 0
    assert len(Charts(fragment(figures["costs"])).specs) == 3


def test_the_legend_of_a_page_is_text_beside_each_symbol(figures):
    spec = figures["accuracy"].panels[0].to_dict()
    entries = legend_entries(spec)
    assert [one.label for one in entries[:4]] == ["linear", "mlp", "perceiver", "qformer"]
    assert {one.label for one in entries if one.dash} == {
        "floor: blind", "floor: shuffled", "floor: majority", "ceiling: words", "ceiling: words, prompted",
    }  # fmt: skip
    assert (entries[0].colour, entries[0].path) == (BRIDGES["linear"][0], PATHS["circle"])
    assert set(PATHS) == set(SHAPES)
    text = fragment(figures["accuracy"])
    assert all(f"</svg>{one.label}</li>" in text for one in entries)


def test_foreign_names_are_text_in_a_fragment_and_in_a_picture(simulated):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    path = simulated.write(
        bridges={"linear": {"exist": 0.7, "<b>kind'": 0.5}, "mlp": {"exist": 0.6, "<b>kind'": 0.5}}
    )
    for run in path.iterdir():
        record = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(record | {"bridge": record["bridge"] + evil}))
    analysis = analyze(read_study(path))
    for figure in study_figures(analysis.study, analysis.summary, analysis.difficulties, None):
        text = fragment(figure)
        assert "<script" not in text
        assert "<img" not in text
        assert "<b>" not in text
        assert "<script" not in to_svg(figure)


def test_the_script_is_one_piece_that_needs_no_evaluation_and_no_network():
    text = script()
    assert "</script" not in text
    assert "data-chart" in text
    assert len(text) < 1_200_000
    assert script() is text  # made once a process


@pytest.fixture(scope="module")
def page(figures, tmp_path_factory):
    """A page of nothing but charts, under the policy of the report."""
    allowed = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'">
<style>{asset("page.css")}{asset("charts.css")}</style></head><body>
{"".join(map(fragment, figures.values()))}
<script>{script()}</script></body></html>""")
    return path


def opened(browser, page, width, scheme):
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on(
        "request",
        lambda request: complaints.append(request.url) if not request.url.startswith("file:") else None,
    )
    shown.goto(page.as_uri())
    shown.wait_for_selector("html[data-charts]")
    return shown, complaints


def label_colours(shown):
    return set(
        shown.evaluate(
            "[...document.querySelectorAll('.mark-text.role-axis-label text')].map(one => getComputedStyle(one).fill)"
        )
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_charts_are_drawn_in_the_readers_theme_and_fit(browser, page, width, tmp_path):
    shown, complaints = opened(browser, page, width, "light")
    assert shown.locator(".panel svg").count() == shown.locator(".panel").count()
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = "[...document.querySelectorAll('.panel')].filter(one => one.querySelector('svg').getBoundingClientRect().width > one.clientWidth + 1).length"
    assert shown.evaluate(cut) == 0
    assert label_colours(shown) == {"rgb(90, 90, 90)"}
    shown.emulate_media(color_scheme="dark")
    shown.wait_for_selector("html[data-charts=dark]")
    assert label_colours(shown) == {"rgb(163, 168, 175)"}
    shown.screenshot(path=tmp_path / "charts.png", full_page=True)
    assert complaints == []


def test_a_point_tells_its_number(browser, page):
    shown, complaints = opened(browser, page, 1280, "light")
    shown.locator("#chart-captions .mark-symbol.role-mark path").first.hover()
    tooltip = shown.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "bridge" in tooltip.inner_text()
    assert complaints == []
