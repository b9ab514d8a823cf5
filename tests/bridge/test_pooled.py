"""Bridges that keep places: averages against loops, the shuffle against transformers' own connector."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector

from bridgelab.bridge.linear import Linear
from bridgelab.bridge.mlp import MLP
from bridgelab.bridge.patch_grid import as_cells, as_map
from bridgelab.bridge.pixel_shuffle import PixelShuffle
from bridgelab.bridge.pooled import Pooled


@pytest.mark.parametrize("projector", ["linear", "mlp"])
@pytest.mark.parametrize(("side", "num_tokens"), [(4, 4), (5, 9), (6, 36)])
def test_a_token_is_the_projected_mean_of_its_cell(projector, side, num_tokens):
    bridge = Pooled(3, 5, grid=(side, side), num_tokens=num_tokens, projector=projector).double()
    patches = torch.randn(2, side * side, 3, dtype=torch.float64)
    tokens, cells = bridge(patches), int(num_tokens**0.5)
    for row in range(cells):
        for column in range(cells):
            # Cell k of m covers rows floor(k n / m) up to ceil((k + 1) n / m), as torch defines an adaptive pool.
            inside = [
                r * side + c
                for r in range(row * side // cells, -(-(row + 1) * side // cells))
                for c in range(column * side // cells, -(-(column + 1) * side // cells))
            ]
            expected = bridge.project(patches[:, inside].mean(1, keepdim=True))[:, 0]
            torch.testing.assert_close(tokens[:, row * cells + column], expected)


def test_as_many_tokens_as_patches_is_the_plain_bridge():
    for projector, plain in (("linear", Linear(3, 5)), ("mlp", MLP(3, 5))):
        bridge = Pooled(3, 5, grid=(4, 4), num_tokens=16, projector=projector)
        bridge.project.load_state_dict(plain.state_dict())
        patches = torch.randn(2, 16, 3)
        torch.testing.assert_close(bridge(patches), plain(patches))


@pytest.mark.parametrize(("dim", "side", "ratio"), [(3, 4, 2), (5, 6, 3), (4, 8, 4)])
def test_the_shuffle_is_that_of_idefics3(dim, side, ratio):
    sizes = SimpleNamespace(
        scale_factor=ratio,
        vision_config=SimpleNamespace(hidden_size=dim),
        text_config=SimpleNamespace(hidden_size=7),
    )
    reference = Idefics3Connector(sizes).double()
    bridge = PixelShuffle(dim, 7, grid=(side, side), ratio=ratio).double()
    bridge.proj.load_state_dict(reference.modality_projection.proj.state_dict())
    patches = torch.randn(2, side * side, dim, dtype=torch.float64)
    torch.testing.assert_close(bridge(patches), reference(patches), rtol=1e-12, atol=1e-12)


def test_the_shuffle_takes_any_grid_that_its_ratio_divides():
    bridge = PixelShuffle(1, 4, grid=(2, 6), ratio=2)
    torch.nn.init.eye_(bridge.proj.weight)
    tokens = bridge(torch.arange(12.0).reshape(1, 12, 1))
    assert tokens[0].tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


def test_places_are_raster_order():
    assert as_map(torch.arange(6.0).reshape(1, 6, 1), (2, 3))[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_tokens": 12}, r"num_tokens=12 is not a square.*bridge\.num_tokens to 9 or 16"),
        ({"num_tokens": 0}, r"num_tokens=0 is not a square.*to 1 or 1"),
        ({"num_tokens": 81}, r"num_tokens=81 is more than the 64 patches.*at most 64"),
        ({"grid": (4, 16)}, r"grid=4 x 16 is not square: pooled to 4 x 4.*square images"),
        ({"projector": "conv"}, r"projector='conv': must be one of linear, mlp"),
        ({"hidden_dim": 9}, r"hidden_dim=9, but the linear projector.*bridge\.projector=mlp"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        Pooled(3, 5, **({"grid": (8, 8), "num_tokens": 16, "projector": "linear"} | choices))


@pytest.mark.parametrize("ratio", [0, 3])
def test_a_ratio_that_does_not_divide_the_grid_is_refused(ratio):
    with pytest.raises(
        ValueError, match=rf"ratio={ratio} does not divide the grid 8 x 4.*one of \[1, 2, 4\]"
    ):
        PixelShuffle(3, 5, grid=(8, 4), ratio=ratio)


@pytest.mark.parametrize("patches", [1, 15, 18, 32])
def test_patches_that_do_not_fill_the_grid_are_refused(patches):
    with pytest.raises(
        ValueError, match=rf"{patches} patches do not fill the grid 4 x 4.*such as linear or qformer"
    ):
        Pooled(3, 5, grid=(4, 4), num_tokens=4, projector="linear")(torch.randn(1, patches, 3))


def test_a_class_token_before_the_patches_is_left_out():
    pooled = Pooled(3, 5, grid=(4, 4), num_tokens=4, projector="linear")
    shuffle = PixelShuffle(3, 5, grid=(4, 4), ratio=2)
    patches, cls = torch.randn(2, 16, 3), torch.full((2, 1, 3), torch.nan)
    for bridge in (pooled, shuffle):
        torch.testing.assert_close(bridge(torch.cat([cls, patches], 1)), bridge(patches))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_cells_hold_each_patch_once_in_raster_order(ratio, rows, columns):
    grid = (rows * ratio, columns * ratio)
    numbers = torch.arange(float(grid[0] * grid[1])).reshape(1, -1, 1)
    cells = as_cells(numbers, grid, ratio)[0, :, :, 0]
    for cell, places in enumerate(cells.tolist()):
        top, left = ratio * (cell // columns), ratio * (cell % columns)
        assert places == [(top + i) * grid[1] + left + j for i in range(ratio) for j in range(ratio)]
