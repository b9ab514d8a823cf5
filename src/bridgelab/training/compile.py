"""torch.compile of a training step: the bridge and the T5's part of it. What validates and answers stays as it is."""

import importlib.util
import os
import shutil

import torch

from bridgelab.model import BridgedModel

COMPILERS = {"CXX": ("g++", "clang++"), "CC": ("gcc", "clang", "cc")}


def compile_step(model: BridgedModel) -> None:
    """Compile what calling the model does, a batch's loss, and its gradient; parameters keep their names."""
    torch.compiler.reset()  # shapes of an earlier training in this process would count against this one's limit
    model.compile()


def refuse_without_compiler(device: torch.device) -> None:
    """Look for what torch.compile calls.

    Raises:
        ValueError: if it is not there.
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
