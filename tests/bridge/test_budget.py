"""Budgets of parameters and tokens, for every bridge in conf/bridge/ that can keep them."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

from bridgelab.bridge.budget import count_parameters, with_parameters, with_tokens
from bridgelab.bridge.mlp import MLP
from bridgelab.bridge.qformer import QFormer

CONF = Path(__file__).parents[2] / "conf"
WIDTHS = (160, 128)
GRID = (8, 8)


def composed(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose(f"bridge/{name}").bridge)
    for key in ("init_from", "insert"):
        config.pop(key, None)  # no arguments of a class
    return get_class(config.pop("_target_")), config


BRIDGES = {
    path.stem: composed(path.stem)
    for path in (CONF / "bridge").glob("*.yaml")
    if "_published" not in path.stem
}
SIZED = sorted(name for name, (kind, _) in BRIDGES.items() if hasattr(kind, "sized_by"))


KEEP_PLACES = (
    "linear_pooled",
    "mlp_pooled",
    "pixel_shuffle",
    "c_abstractor",
    "token_packer",
    "perceiver_qwen",
    "cls_linear",
    "ldp_v2",
    "d_abstractor",
    "matryoshka",
)


def choices_of(name):
    kind, choices = BRIDGES[name]
    return kind, choices | ({"grid": GRID} if name in KEEP_PLACES else {})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, number) for name in SIZED if name != "linear_pooled" for number in (600_000, 2_000_000)),
        # These need no projection at width=160, so they have fewer parameters there than with a width below it.
        ("c_abstractor", 200_000),
        ("perceiver_qwen", 140_000),
        ("perceiver_qwen", 127_040),
    ],
)
def test_a_bridge_has_the_requested_parameters_within_two_percent(name, parameters):
    kind, choices = choices_of(name)
    sized = with_parameters(kind, choices, parameters, WIDTHS, name)
    bridge = kind(*WIDTHS, **sized)
    assert sum(p.numel() for p in bridge.parameters()) == pytest.approx(parameters, rel=0.02)
    assert {key for key in sized if sized[key] != choices.get(key)} <= {kind.sized_by}


def test_the_mlps_width_is_that_of_the_closed_form():
    for hidden in (1, 7, 300):
        parameters = hidden * (160 + 128 + 1) + 128
        assert with_parameters(MLP, {"hidden_dim": None}, parameters, WIDTHS, "mlp") == {"hidden_dim": hidden}


@pytest.mark.parametrize("num_heads", [1, 2, 6])
def test_trial_widths_fit_heads_and_positions(num_heads):
    kind, choices = choices_of("perceiver_qwen")
    sized = with_parameters(kind, choices | {"num_heads": num_heads}, 600_000, WIDTHS, "perceiver_qwen")
    assert count_parameters(kind, sized, WIDTHS) == pytest.approx(600_000, rel=0.02)


def test_counting_makes_no_weights():
    assert (
        count_parameters(
            QFormer, {"num_queries": 4, "depth": 12, "width": 4096, "num_heads": 8}, (1024, 2048)
        )
        > 10**9
    )


def test_a_bridge_without_a_width_is_refused():
    kind, choices = choices_of("linear")
    with pytest.raises(ValueError, match=r"budget\.params=9: linear has no width to choose"):
        with_parameters(kind, choices, 9, WIDTHS, "linear")


def test_a_budget_that_no_width_comes_near_is_refused():
    kind, choices = choices_of("qformer")
    with pytest.raises(
        ValueError, match=r"budget\.params=1000: qformer comes no nearer than [\d,]+ \(width=4\)"
    ):
        with_parameters(kind, choices, 1000, WIDTHS, "qformer")


READS_IMAGES = sorted(
    name for name, (kind, _) in BRIDGES.items() if getattr(kind, "sees", "image") != "words"
)


@pytest.mark.parametrize("name", READS_IMAGES)
@pytest.mark.parametrize("tokens", [4, 64])
def test_a_bridge_outputs_the_requested_tokens_or_refuses(name, tokens):
    kind, choices = choices_of(name)
    if name in ("linear", "mlp") and tokens == 4:
        with pytest.raises(
            ValueError, match=rf"budget\.tokens=4: {name} outputs one token per patch, 64.*mlp_pooled"
        ):
            with_tokens(choices, tokens, GRID, name)
        return
    if name == "cls_linear":
        with pytest.raises(ValueError, match=rf"budget\.tokens={tokens}: {name} outputs 1 per image"):
            with_tokens(choices, tokens, GRID, name, kind.tokens_per_image)
        assert with_tokens(choices, 1, GRID, name, kind.tokens_per_image) == choices
        return
    bridge = kind(*WIDTHS, **with_tokens(choices, tokens, GRID, name))
    output = bridge(torch.randn(1, 64, 160), torch.randn(1, 3, 128))
    assert output.shape[1] == tokens


def test_a_shuffle_names_its_possible_numbers_of_tokens():
    with pytest.raises(ValueError, match=r"budget\.tokens=10: pixel_shuffle merges.*one of \[64, 16, 4, 1\]"):
        with_tokens({"ratio": 2}, 10, GRID, "pixel_shuffle")
