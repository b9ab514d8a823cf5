"""`bridgelab align`: the Hydra app of an alignment. Heavy modules are imported when a run starts."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bridgelab import ctrl_c
from bridgelab.bridge.init_from import check_first_stage_file
from bridgelab.config.check import check_config
from bridgelab.config.instantiate import check_classes
from bridgelab.config.resolvers import run_name  # noqa: F401
from bridgelab.config.root import config_root
from bridgelab.config.schema.alignment import AlignmentConfig
from bridgelab.launch.requeued import begin_attempt, end_attempt
from bridgelab.printable import shown
from bridgelab.runs.identity import claim, refuse_another
from bridgelab.training.sole_process import is_first, one_line_errors, sole_process

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(config_root() / "conf"), config_name="align")
def main(config: DictConfig) -> None:
    """Do one alignment; print a failure in one line and log its traceback."""
    job = HydraConfig.get()
    directory = Path(job.runtime.output_dir)
    with one_line_errors(directory, "align.log"):
        run(config, directory, bridge=str(job.runtime.choices["bridge"]), overrides=list(job.overrides.task))


def run(config: DictConfig, directory: Path, *, bridge: str, overrides: Sequence[str] = ()) -> None:
    """Align one Q-Former, and write weights and record to `directory`.

    Args:
        config: as `conf/align.yaml` composes it.
        directory: the run's folder.
        bridge: its name in `conf/bridge/`.
        overrides: those that the config was composed with; they name the models of the second stage.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    check_config(config, AlignmentConfig)
    refuse_another(directory, config)
    check_classes(config)
    with sole_process(directory):
        if claim(directory, config):
            log.info("%s is already finished, nothing to do", directory)
            return
        log.info("the config of %s is in its config.yaml", shown(directory))
        log.info("loading torch, Lightning and the other libraries")

        if config.bridge.get("init_from") is not None:
            check_first_stage_file(config)
        from bridgelab.alignment.run import align

        if is_first(os.environ):
            begin_attempt(directory, Path(config.paths.features))
        align(config, directory, bridge=bridge, overrides=overrides)
        if is_first(os.environ):
            end_attempt()


if __name__ == "__main__":  # another process of a run, started by Lightning
    ctrl_c.handle()
    main()
