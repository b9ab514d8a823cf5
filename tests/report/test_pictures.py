"""The pictures of the README and the findings are drawn from the records."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridgelab.report.charts.render import to_png
from bridgelab.report.charts.saliency import saliency_figure

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "docs" / "draw_pictures.py")
draw_pictures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draw_pictures)


@pytest.mark.slow
def test_each_picture_is_of_the_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no world was drawn, whose images would be taken
    found = dict(draw_pictures.figures(tmp_path))
    assert {f"{name}.png" for name in found} == {path.name for path in (ROOT / "experiments").glob("*.png")}
    for name, figure in found.items():
        with Image.open(ROOT / "experiments" / f"{name}.png") as picture:
            assert picture.text["specification"] == draw_pictures.hash_of(figure), (
                f"{name}: run make pictures"
            )


@pytest.mark.parametrize("images", [1, 2])
def test_a_saliency_map_lies_over_its_image(images, tmp_path):
    """A red patch at the upper right, a blue one at the lower left, and the image as it is beside them and under patches of no effect."""
    green = np.full((30, 40, 3), (40, 160, 60), dtype=np.uint8)
    fall = np.zeros((3, 4))
    fall[0, 3], fall[2, 0] = 1.5, -1.5
    figure = saliency_figure([green] * images, [fall] * images, question="what color ?", answer="green")
    (tmp_path / "map.png").write_bytes(to_png(figure, scale=1))
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    is_green = np.abs(pixels - green[0, 0]).max(axis=2) < 12
    rows, columns = np.flatnonzero(is_green.sum(axis=1) > 250), np.flatnonzero(is_green.sum(axis=0) > 100)
    top, left = rows[0], columns[0]
    side = (columns[-1] - left) / 2.04
    height = side * 3 / 4
    assert len(rows) == pytest.approx(images * height, rel=0.05)

    def patch(row, column):
        return pixels[round(top + height * (row + 0.5) / 3), round(left + side * (1.04 + (column + 0.5) / 4))]

    red, _, blue = patch(0, 3)
    assert red > blue + 40
    red, _, blue = patch(2, 0)
    assert blue > red + 40
    assert not is_green[round(top + height / 2), round(left + side * 1.02)]  # between the two pictures
    drawn = figure.panels[0].to_dict()["datasets"].values()
    assert sum(abs(row["fall"]) for rows in drawn for row in rows if "fall" in row) == 3.0 * images
