import base64
import io

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.example import Example
from bridgelab.explain.saliency_maps import saliency_maps, with_answer_as_target
from bridgelab.report.diagnosis.overlay import SIDE, overlay_data_url


def test_a_map_is_the_fall_by_window(planted, adds, reads):
    planted.patches[..., 1] = 0
    planted.patches[:, 5, 1] = 1  # the answer rests on patch 5: row 1, column 1
    result = saliency_maps(adds(reads(1)), planted.prepared, (4, 4), cls=False)
    expected = np.zeros((4, 4))
    expected[:3, :3] = 1
    assert result[0].fall.tolist() == expected.tolist()
    assert result[0].attention is None
    assert (result[7].id, result[7].said) == ("q7", "red")


def test_a_class_token_is_left_as_it_is(planted, adds, reads):
    planted.patches[..., 1] = 0
    planted.patches[:, 0, 1] = 1
    result = saliency_maps(adds(reads(1)), planted.prepared, (3, 5), cls=True)
    assert np.abs(result[0].fall).max() == 0


def test_the_answer_is_the_bridges_own():
    example = Example("q", ("/a.png",), "true ?", ("true",), "true_false")
    assert with_answer_as_target(example, " false ").answers == ("false",)
    assert with_answer_as_target(example, "").answers == (".",)


@pytest.mark.parametrize("signed", [True, False])
def test_a_map_lies_over_its_patches(signed):
    out = io.BytesIO()
    Image.new("RGB", (30, 30), (128, 128, 128)).save(out, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    values = np.zeros((2, 2))
    values[0, 1] = 1
    if signed:
        values[1, 0] = -1
    created = overlay_data_url(picture, values, signed=signed)
    image = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(created.partition(",")[2]))).convert("RGB")
    ).astype(int)
    quarter = SIDE // 4
    red, blue, clear = image[quarter, 3 * quarter], image[3 * quarter, quarter], image[quarter, quarter]
    assert image.shape == (SIDE, SIDE, 3)
    assert np.abs(clear - 128).max() < 12  # no effect there: the image is unchanged
    if signed:
        assert red[0] > red[2] + 30
        assert blue[2] > blue[0] + 30
    else:
        assert red.sum() < clear.sum() - 60  # darker in greyscale, too
        assert np.abs(blue - 128).max() < 12
    assert overlay_data_url(picture, np.zeros((2, 2)), signed=signed)  # no effect anywhere
