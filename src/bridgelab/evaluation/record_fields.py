"""The fields that the records of training and of evaluation share."""

from typing import Any

from omegaconf import DictConfig

from bridgelab.config.root import config_root
from bridgelab.model import BridgedModel
from bridgelab.runs.environment import provenance
from bridgelab.runs.identity import config_hash
from bridgelab.runs.insert import insert_of


def record_fields(config: DictConfig, model: BridgedModel, device: Any) -> dict[str, Any]:
    """Return what a record says of its study, its bridge, its code and its machine.

    Args:
        config: of the run or the evaluation.
        model: the evaluated bridge between the backbones.
        device: where the model ran.
    """
    return {
        "study": config.study,
        "question": config.question,
        "hypothesis": config.hypothesis,
        "sees": model.sees,
        "conditioning": model.conditioning,
        "insert": insert_of(config),
        "positions": config.model.positions,
        **({"cross_attention": blocks.summary()} if (blocks := model.cross_attention) else {}),
        "adapt": config.text.get("adapt", "none"),
        "seed": config.seed,
        "data_seed": config.data_seed,
        "verdict": dict(config.verdict),
        "precision": model.precision,
        "config_hash": config_hash(config),
        **provenance(config_root(), device),
    }
