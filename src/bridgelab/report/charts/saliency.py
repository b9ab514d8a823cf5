"""Saliency maps of one answer: each image, and beside it the same image under its map."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image

from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.render import WIDTH
from bridgelab.report.thumbnails import png_data_url

GAP = 0.04  # between two pictures, as a share of a picture's side
OPACITY = 0.75  # of the largest effect; a patch without effect is clear
TITLE = "fall of the answer's log-probability without the patches, nats"


def saliency_figure(
    images: Sequence[UInt8[np.ndarray, "height width 3"]],
    maps: Sequence[Float[np.ndarray, "row column"]],
    *,
    question: str,
    answer: str,
) -> Figure:
    """Return the pictures of one answer, a row an image.

    Args:
        images: that the question is about; all have the shape of the first one.
        maps: of each image, by how much the answer's log-probability falls where patches are replaced, in nats.
        question: that was asked.
        answer: that the maps are of.
    """
    height, width = images[0].shape[:2]
    side = WIDTH / (2 + GAP)  # of a picture, in pixels of the chart
    step = side * height / width + GAP * side
    pictures = pd.DataFrame(
        {"url": png_data_url(Image.fromarray(image)), "left": left, "top": k * step}
        for k, image in enumerate(images)
        for left in (0.0, side * (1 + GAP))
    )
    patches = pd.concat(
        [_patches(one, side * (1 + GAP), k * step, side, step - GAP * side) for k, one in enumerate(maps)]
    )
    most = float(patches["fall"].abs().max()) or 1.0
    patches["strength"] = OPACITY * patches["fall"].abs() / most
    total = step * len(images) - GAP * side
    x = alt.Scale(domain=[0, WIDTH], nice=False, zero=False)
    y = alt.Scale(domain=[0, total], nice=False, zero=False, reverse=True)
    colour = alt.Color(
        "fall:Q",
        # Red and blue are told apart by colour-blind readers.
        scale=alt.Scale(scheme="redblue", reverse=True, domain=[-most, most], domainMid=0),
        legend=alt.Legend(title=TITLE, titleLimit=WIDTH, gradientLength=200),
    )
    layers = [
        alt.Chart(pictures)
        .mark_image(width=side, height=side * height / width, align="left", baseline="top", aspect=False)
        .encode(x=alt.X("left:Q", scale=x, axis=None), y=alt.Y("top:Q", scale=y, axis=None), url="url:N"),
        alt.Chart(patches)
        .mark_rect()
        .encode(
            x=alt.X("left:Q", scale=x, axis=None),
            x2="right:Q",
            y=alt.Y("top:Q", scale=y, axis=None),
            y2="bottom:Q",
            color=colour,
            opacity=alt.Opacity("strength:Q", scale=None, legend=None),
            tooltip=[alt.Tooltip("fall:Q", format=".2f")],
        ),
    ]
    note = "Red: patches without which the answer gets less likely. Blue: patches without which it gets likelier."
    chart = alt.LayerChart(layer=layers).properties(width="container", height=total)
    return Figure("saliency", f"{question}  →  {answer}", note, (chart,))


def _patches(
    falls: Float[np.ndarray, "row column"], left: float, top: float, width: float, height: float
) -> pd.DataFrame:
    """Return a row for each patch: its four sides in pixels, and its fall."""
    rows, columns = falls.shape
    row, column = (place.ravel() for place in np.mgrid[:rows, :columns])
    return pd.DataFrame(
        {
            "left": left + width * column / columns,
            "right": left + width * (column + 1) / columns,
            "top": top + height * row / rows,
            "bottom": top + height * (row + 1) / rows,
            "fall": falls.ravel().astype(float),
        }
    )
