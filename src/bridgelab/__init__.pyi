from bridgelab.backbones import Backbones as Backbones
from bridgelab.benchmark.example import Example as Example
from bridgelab.data.batches import TokenizedExamples as TokenizedExamples
from bridgelab.evaluation.predict import predict as predict
from bridgelab.evaluation.trained_bridge import Answer as Answer
from bridgelab.evaluation.trained_bridge import TrainedBridge as TrainedBridge
from bridgelab.evaluation.trained_bridge import load_bridge as load_bridge
from bridgelab.model import BridgedModel as BridgedModel
from bridgelab.report.summary import Summary as Summary
from bridgelab.report.summary import summarize as summarize
from bridgelab.runs.finished_run import Run as Run
from bridgelab.runs.study import Study as Study
from bridgelab.runs.study import read_study as read_study
from bridgelab.statistics.comparison import Verdict as Verdict
from bridgelab.statistics.comparison import verdict as verdict
from bridgelab.text.t5 import T5 as T5
from bridgelab.training.lightning_module import BridgeTraining as BridgeTraining
from bridgelab.vision.openclip import OpenClipVision as OpenClipVision

__version__: str
