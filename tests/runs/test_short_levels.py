"""Levels that are long paths, told by what differs."""

import pytest

from bridgelab.runs.short_levels import short_names
from bridgelab.runs.study import read_study


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        (["runs_vit_16_weights.safetensors", "runs_vit_8_weights.safetensors"], ["vit_16", "vit_8"]),
        (["weights/of/openai/model.pt", "weights/of/laion/model.pt"], ["openai", "laion"]),
        (["my_package.my_module.FirstModule", "my_package.my_module.SecondModule"], ["module.FirstModule", "module.SecondModule"]),
        (["miniature", "runs_pretrain_prose_text_prose"], None),  # one is short
        (["runs_pretrain_text_prose_text", "runs_pretrain_text_prose_text_prose_text"], None),  # nothing would be left
    ],
)  # fmt: skip
def test_long_levels_are_told_by_what_differs(levels, names):
    assert list(short_names(levels).items()) == list(zip(levels, names or levels, strict=True))


def test_rows_have_the_short_names_of_their_levels(simulated, change):
    path = simulated.write(bridges={"linear": {"exist": 0.7}, "mlp": {"exist": 0.7}}, images=4)
    for run in sorted(path.iterdir()):
        size = 8 if "mlp" in run.name else 16
        run = run.rename(
            f"{str(run).replace('mlp', 'linear')},vision.weights=runs_patch_{size}_vision.safetensors"
        )
        change(run, overrides=run.name, bridge="linear")
    study = read_study(path)
    assert study.bridges == ("linear, vision.weights=patch_16", "linear, vision.weights=patch_8")
    assert study.missing == ()
