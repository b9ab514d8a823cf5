from bridgelab.backbones import Backbones
from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import predict
from bridgelab.evaluation.trained_bridge import Answer, TrainedBridge, load_bridge
from bridgelab.model import BridgedModel
from bridgelab.report.frames import cells
from bridgelab.report.summary import Summary, summarize
from bridgelab.report.write import report as write_report
from bridgelab.runs.run import Run
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.verdict import Verdict, verdict
from bridgelab.text.t5 import T5
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.vision.openclip import OpenClipVision

__version__: str
__all__ = [
    "T5",
    "Answer",
    "Backbones",
    "BridgeTraining",
    "BridgedModel",
    "Example",
    "OpenClipVision",
    "Run",
    "Study",
    "Summary",
    "TokenizedExamples",
    "TrainedBridge",
    "Verdict",
    "__version__",
    "cells",
    "load_bridge",
    "predict",
    "read_study",
    "summarize",
    "verdict",
    "write_report",
]
