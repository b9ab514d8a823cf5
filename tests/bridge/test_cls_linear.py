"""The class token through one linear layer."""

import os

import pytest
import torch
from hydra import compose, initialize_config_dir

from bridgelab.backbones import Backbones
from bridgelab.bridge.cls_linear import CLSLinear
from bridgelab.bridge.linear import Linear


@pytest.mark.parametrize("images", [1, 2, 3])
def test_is_linear_on_the_class_token_of_each_image(images):
    bridge, linear = CLSLinear(6, 5, grid=(2, 3)), Linear(6, 5)
    linear.mm_projector.load_state_dict(bridge.proj.state_dict())
    patches = torch.randn(4, 7 * images, 6)
    torch.testing.assert_close(bridge(patches), linear(patches)[:, ::7])


@pytest.mark.parametrize("patches", [1, 6, 12])
def test_patches_without_a_class_token_are_refused(patches):
    with pytest.raises(
        ValueError, match=rf"^{patches} patches are not images of 2 x 3 .*Set vision\.cls=true"
    ):
        CLSLinear(6, 5, grid=(2, 3))(torch.randn(1, patches, 6))


def test_a_run_needs_the_class_token_and_others_run_beside_it():
    with initialize_config_dir(os.path.join(os.environ["BRIDGELAB_ROOT"], "conf"), version_base="1.3"):
        without, *others = (
            compose("train", overrides)
            for overrides in (
                ["bridge=cls_linear"],
                ["bridge=cls_linear", "vision.cls=true", "budget.tokens=1"],
                ["bridge=linear_pooled", "vision.cls=true", "budget.tokens=1"],
                ["bridge=linear", "vision.cls=true"],
            )
        )
    with pytest.raises(
        ValueError, match=r"vision\.cls=false: CLSLinear reads the class token alone\. Set vision\.cls=true"
    ):
        Backbones(without, "cpu").model(0)
    patches = Backbones(others[0], "cpu").vision.patches(
        torch.randint(0, 255, (2, 96, 96, 3), dtype=torch.uint8)
    )
    tokens = [Backbones(config, "cpu").model(0).bridge(patches).shape[1] for config in others]
    assert tokens == [1, 1, 65]
