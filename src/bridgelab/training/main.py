"""`bridgelab train`: one run, from its config to its record. Heavy modules are imported when a run starts."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bridgelab import ctrl_c
from bridgelab.config.check import check_config
from bridgelab.config.instantiate import check_classes, is_own
from bridgelab.config.resolvers import run_name  # noqa: F401
from bridgelab.config.root import config_root
from bridgelab.launch.requeued import begin_attempt, end_attempt
from bridgelab.printable import shown
from bridgelab.runs.finished import is_finished
from bridgelab.runs.identity import claim, refuse_another
from bridgelab.runs.objective import objective
from bridgelab.runs.repeat_command import keep_overrides
from bridgelab.runs.reuse import copy_finished_run, find_finished_run
from bridgelab.runs.run_name import OWN
from bridgelab.training.input_check import check_initial_weights
from bridgelab.training.sole_process import is_first, one_line_errors, sole_process

ROOT = config_root()
log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="train")
def main(config: DictConfig) -> float | None:
    """Do one run and return its `val/accuracy` to Hydra; print a failure in one line and log its traceback."""
    job = HydraConfig.get()
    directory = Path(job.runtime.output_dir)
    with one_line_errors(directory):
        check_config(config)
        task = job.overrides.task
        return run(
            config,
            directory,
            bridge=bridge_name(config, task, job.runtime.choices["bridge"]),
            overrides=task,
        )


def bridge_name(config: DictConfig, overrides: Sequence[str], choice: str) -> str:
    """Return the name of a run's bridge in tables: its yaml's, or its class if that is not the yaml's.

    Args:
        config: of the run.
        overrides: of its command line.
        choice: the yaml in `conf/bridge/`.
    """
    given = any(one.lstrip("+").partition("=")[0] == OWN for one in overrides)
    return str(config.bridge._target_ if given or is_own(config.bridge, "bridge") else choice)


def run(config: DictConfig, directory: Path, *, bridge: str, overrides: Sequence[str] = ()) -> float | None:
    """Train and evaluate one bridge, and write the record to `directory`.

    Args:
        config: as `conf/train.yaml` composes it.
        directory: the run's folder.
        bridge: its name in `conf/bridge/`.
        overrides: of its command line, kept so that `bridgelab status` can repeat it.
    Returns:
        The run's objective, see `runs.objective`: its own, or that of the record of a finished run.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    check_config(config)
    if isinstance(others := config.paths.get("reuse"), str):
        others = [others]
    if taken := find_finished_run(directory, config, [Path(other) for other in others or []]):
        if is_first(os.environ):
            copy_finished_run(taken, directory, config, bridge=bridge)
            log.info("%s is finished as %s: copied, not trained again", directory, taken)
        return objective(directory)
    if refuse_another(directory, config) and is_finished(directory):
        log.info("%s is already finished, nothing to do", directory)
        return objective(directory)
    check_classes(config)
    with sole_process(directory):
        if claim(directory, config):  # by another process, in the meantime
            log.info("%s is already finished, nothing to do", directory)
            return objective(directory)
        if overrides and is_first(os.environ):
            keep_overrides(directory, overrides)
        log.info("the config of %s is in its config.yaml", shown(directory))
        log.info("loading torch, Lightning and the other libraries")

        check_initial_weights(config)  # within seconds: the next imports take many
        from bridgelab.training.loggers.wandb_logger import wandb_run
        from bridgelab.training.run import train_and_evaluate

        if is_first(os.environ):
            begin_attempt(directory, Path(config.paths.features))
        with wandb_run(config, directory, bridge) as wandb_logger:
            train_and_evaluate(config, directory, bridge=bridge, wandb_logger=wandb_logger)
        if is_first(os.environ):
            end_attempt()
        return objective(directory)


if __name__ == "__main__":  # another process of a run, started by Lightning
    ctrl_c.handle()
    main()
