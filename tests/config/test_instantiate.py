import re

import pytest
from omegaconf import OmegaConf

from bridgelab.config import instantiate as building


@pytest.mark.parametrize("inside", ["{a: {_target_: os.system}}", "[[{_target_: os.system}]]"])
def test_what_stands_inside_of_a_target_is_limited_too(inside):
    given = OmegaConf.create({"_target_": "torch.optim.AdamW", "lr": OmegaConf.create(f"x: {inside}").x})
    with pytest.raises(ValueError, match=r"_target_: os\.system may not be built: a nested class must be"):
        building.build(given, "optim")


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        ("optim", "torch.optim.optimizer.torch.load"),  # begins like an optimizer, and unpickles
        ("text", "bridgelab.text.t5.AutoConfig.from_pretrained"),
        ("text", "bridgelab.text.t5.AutoConfig"),
        ("text", "bridgelab.text.t5.Path.unlink"),
        ("vision", "bridgelab.runs.reuse.shutil.copyfile"),
        ("benchmark", "bridgelab.benchmark.world.importlib"),
        ("benchmark", "bridgelab.benchmark.annotations.require"),  # ours, and no benchmark
        ("benchmark", "bridgelab.benchmark.metrics.accuracy.Accuracy"),
        ("bridge", "bridgelab.bridge.qformer.nn.Linear"),  # a module, but not ours
        ("bridge", "bridgelab.bridge.contract.Case"),
        ("trainer", "pytorch_lightning.cli.LightningCLI"),  # would build any class that its arguments name
        ("logger", "pytorch_lightning.Trainer"),
        ("optim", "readmes_module.MyOptimizer"),  # own ones are of bridges
        ("bridge", "5"),
    ],
)
def test_a_target_is_a_class_that_its_slot_takes_and_that_is_defined_where_its_name_says(slot, name):
    given = OmegaConf.create({"_target_": int(name) if name.isdecimal() else name})
    with pytest.raises(
        ValueError,
        match=rf"{slot}\._target_: ({re.escape(name)} may not be built: {slot} takes a|.* has no (class|module) )",
    ):
        building.target(given, slot)
