"""torch.compile for training steps; validation and evaluation are not compiled."""

import importlib.util
import os
import shutil

import torch

from bridgelab.model import BridgedModel

COMPILERS = {"CXX": ("g++", "clang++"), "CC": ("gcc", "clang", "cc")}


def compile_step(model: BridgedModel) -> None:
    """Compile the model's call on a batch, its loss and gradient; parameters keep their names."""
    torch.compiler.reset()  # else shapes of an earlier training in this process count against the limit
    model.compile()


def check_fixed_tokens(bridge: type) -> None:
    """Check that a bridge outputs as many tokens in each step: torch.compile compiles a step again for every other number.

    Raises:
        ValueError: if it draws their number.
    """
    if getattr(bridge, "draws_tokens", False):
        raise ValueError(
            f"compile=true with {bridge.__name__}, which draws the number of tokens of each step: torch.compile would compile the "
            "step again for every number. Set compile=false."
        )


def check_compiler(device: torch.device) -> None:
    """Check that the compiler which torch.compile calls is installed.

    Raises:
        ValueError: if it is not, with what to install.
    """
    lacking = None
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        lacking = "the package triton"
    variable = "CC" if device.type == "cuda" else "CXX"
    named = os.environ.get(variable)
    names = (named,) if named else COMPILERS[variable]
    if not any(map(shutil.which, names)):
        language = "C" if variable == "CC" else "C++"
        lacking = f"a {language} compiler, and there is no {' or '.join(names)}"
    if lacking:
        raise ValueError(
            f"compile=true on {device.type} needs {lacking}. Install it (or name it in ${variable}), or set compile=false."
        )
