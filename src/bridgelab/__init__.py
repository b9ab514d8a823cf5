"""What should stand between a frozen vision encoder and a frozen language model?

    import bridgelab

    bridge = bridgelab.load_bridge("runs/first_look/bridge=linear,seed=0")
    print(bridge.answer("image.png", "how many red cubes are there ?"))

docs/api.md describes every name. A name is imported when it is first used, so that `import bridgelab` loads neither torch
nor pandas. `__init__.pyi` declares the types.
"""

import importlib
from types import MappingProxyType
from typing import Any

__version__ = "0.1.0"

# Public name -> module and name inside it. `__init__.pyi` has the same list for type checkers.
_PUBLIC = MappingProxyType(
    {
        # a trained bridge
        "load_bridge": "bridgelab.evaluation.trained_bridge:load_bridge",
        "TrainedBridge": "bridgelab.evaluation.trained_bridge:TrainedBridge",
        "Answer": "bridgelab.evaluation.trained_bridge:Answer",
        # a study
        "read_study": "bridgelab.runs.study:read_study",
        "Study": "bridgelab.runs.study:Study",
        "Run": "bridgelab.runs.run:Run",
        "cells": "bridgelab.report.frames:cells",
        "summarize": "bridgelab.report.summary:summarize",
        "Summary": "bridgelab.report.summary:Summary",
        "verdict": "bridgelab.statistics.verdict:verdict",
        "Verdict": "bridgelab.statistics.verdict:Verdict",
        "write_report": "bridgelab.report.write:report",
        # a user-defined training loop
        "Backbones": "bridgelab.backbones:Backbones",
        "BridgedModel": "bridgelab.model:BridgedModel",
        "BridgeTraining": "bridgelab.training.lightning_module:BridgeTraining",
        "Example": "bridgelab.benchmark.example:Example",
        "OpenClipVision": "bridgelab.vision.openclip:OpenClipVision",
        "T5": "bridgelab.text.t5:T5",
        "TokenizedExamples": "bridgelab.data.batches:TokenizedExamples",
        "predict": "bridgelab.evaluation.predict:predict",
    }
)

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(
            f"module 'bridgelab' has no attribute {name!r}. Its public names are {', '.join(_PUBLIC)}."
        )
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
