"""Bridges can be told apart in both themes, also by colour-blind readers, and look the same in every study."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from bridgelab.report.charts.palette import BRIDGES, COLOURS, GREY, LINES, row_styles
from bridgelab.report.charts.themes import _FILLS, _INKS, CELLS, page_colour
from bridgelab.report.matrix import SIGNS

ROOT = Path(__file__).parents[3]
FLOORS_AND_CEILINGS = {"blind", "words", "words_patch_like", "words_prompted"}
# Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1: protanopia, deuteranopia.
BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "none": np.eye(3).tolist(),
}


def linear_rgb(colour):
    srgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2's contrast ratio."""
    low, high = sorted(linear_rgb(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        rgb, 0, 1
    )
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_a_mark_stands_out_on_either_page(colour, theme):
    assert contrast(colour, page_colour(theme)) >= 3  # WCAG 1.4.11


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_can_be_read_on_the_page_and_in_cells(theme):
    ink = _INKS[theme]
    assert min(contrast(ink[name], ink["page"]) for name in ("text", "soft")) >= 4.5  # WCAG 1.4.3
    assert set(_FILLS[theme]) == set(CELLS) == set(SIGNS)
    assert min(contrast(ink["text"], fill) for fill in _FILLS[theme].values()) >= 4.5


@pytest.mark.parametrize("sight", BLIND)
def test_bridges_compared_most_often_differ_for_every_reader(sight):
    colours = [BRIDGES[name][0] for name in ("linear", "mlp", "qformer", "perceiver")]
    seen = [lab(np.array(BLIND[sight]) @ linear_rgb(colour)) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 14


def test_every_bridge_that_sees_images_has_a_look_of_its_own():
    bridges = {path.stem for path in (ROOT / "conf" / "bridge").glob("*.yaml")}
    assert bridges - FLOORS_AND_CEILINGS == set(BRIDGES)
    assert len(set(BRIDGES.values())) == len(BRIDGES)
    assert FLOORS_AND_CEILINGS | {"shuffled", "majority"} == set(LINES)
    assert len(set(LINES.values())) == len(LINES)
    assert len(set(SIGNS.values())) == len(SIGNS)


def test_a_bridge_looks_the_same_in_every_study():
    alone, among = row_styles(["qformer"]), row_styles(["linear", "my.own.Bridge", "perceiver", "qformer"])
    assert alone["qformer"] == among["qformer"]
    assert row_styles(["my.own.Bridge"])["my.own.Bridge"] == among["my.own.Bridge"]


def test_levels_of_a_bridge_share_its_colour_and_differ_in_shape():
    levels = [f"qformer, budget.tokens={tokens}" for tokens in (4, 16, 64)]
    styles = row_styles(["linear", *levels])
    assert {styles[name].colour for name in levels} == {BRIDGES["qformer"][0]}
    assert len({styles[name].shape for name in levels}) == 3
    assert len({styles[name].dash for name in levels}) == 3


def test_forty_bridges_of_ones_own_do_not_look_alike():
    names = [*BRIDGES, *(f"my.module.Bridge{k}" for k in range(20))]
    styles = row_styles(names)
    looks = [(one.colour, one.shape) for one in styles.values()]
    assert len(set(looks)) == len(names)
