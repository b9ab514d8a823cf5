"""`bridgelab align`: the Hydra app of an alignment. Heavy modules are imported when a run starts."""

import logging
import os
import signal
from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bridgelab import ctrl_c
from bridgelab.config.check import check_config
from bridgelab.config.root import config_root
from bridgelab.config.schema.alignment import AlignmentConfig
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import claim, refuse_another
from bridgelab.runs.locks import locked
from bridgelab.training.console import report_failure, shown
from bridgelab.training.main import is_first  # registers what configs call, too

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(config_root() / "conf"), config_name="align")
def main(config: DictConfig) -> None:
    """Do one alignment; print a failure in one line and log its traceback."""
    job = HydraConfig.get()
    directory = Path(job.runtime.output_dir)
    try:
        run(config, directory, bridge=str(job.runtime.choices["bridge"]))
    except KeyboardInterrupt:
        log.warning("stopped. The same command resumes from here.")
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        report_failure(error, directory, "align.log")
        raise SystemExit(1) from None  # Hydra would print the traceback again


def run(config: DictConfig, directory: Path, *, bridge: str) -> None:
    """Align one Q-Former, and write weights and record to `directory`.

    Args:
        config: as `conf/align.yaml` composes it.
        directory: the run's folder.
        bridge: its name in `conf/bridge/`.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    check_config(config, AlignmentConfig)
    refuse_another(directory, config)
    with locked(directory / "lock", wait=False) if is_first(os.environ) else nullcontext(True) as own:
        if not own:
            raise ValueError(
                f"{directory} is being run by another process, and a run has only one. Wait for it, or end it; the same command then "
                "resumes from its last checkpoint."
            )
        if claim(directory, config):
            log.info("%s is finished: %s stands, nothing to do", directory, RECORD)
            return
        log.info("the config of %s is in its config.yaml", shown(directory))

        from bridgelab.alignment.run import align

        align(config, directory, bridge=bridge)


if __name__ == "__main__":  # another process of a run, started by Lightning
    ctrl_c.handle()
    main()
