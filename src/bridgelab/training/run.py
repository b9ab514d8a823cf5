"""One run, from its config to its record."""

import logging
import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.config.instantiate import is_own
from bridgelab.config.root import config_root
from bridgelab.device import trainer_device
from bridgelab.evaluation.costs import measure_test_costs
from bridgelab.evaluation.predict import predict_views
from bridgelab.evaluation.score import score
from bridgelab.model import BridgedModel
from bridgelab.progress import TenthsLog
from bridgelab.runs.environment import provenance
from bridgelab.runs.finished import RECORD
from bridgelab.runs.record import write_json, write_predictions
from bridgelab.runs.reuse import repeat_untrained
from bridgelab.training.attempts import Attempts
from bridgelab.training.callbacks.count_steps import StepsFile
from bridgelab.training.checkpoint import LAST, save_untrained
from bridgelab.training.console import busy_machine, summary
from bridgelab.training.experiment import Experiment
from bridgelab.training.loggers.wandb_logger import log_record
from bridgelab.training.run_record import run_record
from bridgelab.training.train_bridge import Trained, checkpoint_identity, train_bridge

log = logging.getLogger(__name__)


def train_and_evaluate(
    config: DictConfig, directory: Path, *, bridge: str, wandb_logger: WandbLogger | None
) -> None:
    """Train and evaluate one bridge, and write the record to `directory`.

    Args:
        config: as `conf/train.yaml` composes it.
        directory: the run's folder, claimed.
        bridge: its name in `conf/bridge/`.
        wandb_logger: W&B's logger of this run; None if W&B is not used.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    clock = time.monotonic()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    experiment = Experiment.set_up(config, trainer_device(config.trainer.accelerator))
    if experiment.device.type == "cpu" and (advice := busy_machine(torch.get_num_threads())):
        log.warning("%s", advice)
    model = experiment.model(config.seed)
    code = provenance(config_root(), experiment.device)
    attempts = Attempts(
        clock, {"precision": model.precision, "git_sha": code["git_sha"], "machine": code["machine"]}
    )
    experiment.attempts = attempts
    trained = _train(experiment, model, directory, wandb_logger)
    if trained is None:
        return
    model.to(experiment.device).eval()
    experiment.backbones.limit_tokens(model.bridge)

    data = experiment.data
    tests = data.test_examples("test", data.conditioning)
    to_caption = None
    if model.sees == "image":
        captions = data.examples("train").get("caption", ())
        to_caption = data.caption_requests(tests, captions, split="test", conditioning=data.conditioning)
    predictions = predict_views(
        model,
        tests,
        batch_size=config.evaluate.batch_size,
        num_beams=config.evaluate.num_beams,
        shuffled=config.evaluate.shuffled and model.sees == "image",
        images=data.num_images("test"),
        to_caption=to_caption,
        progress=TenthsLog("answering"),
    )
    if leave_other_processes() > 0:
        return  # the first process has all predictions, scores them and writes the record
    rows, metrics = score(predictions, tests, data.benchmark.metrics(), data.examples("train"))
    _check_frozen(experiment)
    costs = measure_test_costs(model, tests) | {
        "train_seconds": trained.seconds,
        "wall_seconds": attempts.seconds(),
    }
    write_predictions(directory / "predictions.parquet", rows)
    record = run_record(
        experiment, model, trained, directory=directory, bridge=bridge, metrics=metrics, costs=costs
    )
    if wandb_logger:
        artifact = directory / LAST if trained.batches and config.logger.get("artifact") else None
        try:
            log_record(wandb_logger, record, rows, tests, model, experiment.backbones.vision, artifact)
        except Exception as error:
            # Whatever W&B, a disk or a picture raises, the record must be written.
            log.warning("W&B lacks this run's record, and this run continues without it: %s", error)
    write_json(directory / RECORD, record)
    if experiment.steps_file:
        experiment.steps_file.remove()
    own_class = is_own(experiment.config.bridge, "bridge")
    for line in summary(metrics, directory, sees_images=model.sees == "image", own_class=own_class):
        log.info("%s", line)


def _train(
    experiment: Experiment, model: BridgedModel, directory: Path, wandb_logger: WandbLogger | None
) -> Trained | None:
    """Train the bridge if its run has steps; return None if this process has nothing to evaluate either."""
    trainable = any(p.requires_grad for p in model.parameters())
    if trainable and experiment.config.train.steps > 0:
        experiment.steps_file = StepsFile(directory)
        return train_bridge(experiment, model, directory, wandb_logger)
    if getattr(rank_zero_only, "rank", 0) > 0:
        return None  # without training the processes never meet: the first one evaluates alone
    if repeat_untrained(directory, experiment.config, experiment.fingerprints):
        log.info("nothing is trained: another seed's record says the same")
        return None
    if trainable:  # train.steps=0: the bridge is evaluated at its initialization
        _keep_initialization(experiment, model, directory)
    return Trained()


def _keep_initialization(experiment: Experiment, model: BridgedModel, directory: Path) -> None:
    """Write the checkpoint of a bridge that is evaluated at its initialization, so that commands can load it."""
    experiment.init_output_scale(model, experiment.data.batches(1, experiment.config.data_seed))
    save_untrained(model, checkpoint_identity(experiment), directory / LAST)


def leave_other_processes() -> int:
    """End the process group, if there is one, and return this process's rank."""
    if not torch.distributed.is_initialized():
        return 0
    rank = torch.distributed.get_rank()
    torch.distributed.destroy_process_group()
    return rank


def _check_frozen(experiment: Experiment) -> None:
    """Check that training left the backbones as they were.

    Raises:
        RuntimeError: if a fingerprint differs.
    """
    after = {name: backbone.fingerprint for name, backbone in experiment.backbones.all.items()}
    before = {name: experiment.fingerprints[name] for name in after}
    if after != before:
        raise RuntimeError(
            f"fingerprints were {before}, and are {after} after training: frozen weights must not change. Keep optimizers and "
            "callbacks away from the backbones."
        )
