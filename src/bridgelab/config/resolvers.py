"""The resolvers of conf/train.yaml, registered with OmegaConf on import."""

import hashlib

from omegaconf import OmegaConf

from bridgelab.config.schema.config import leads_out

LONGEST_NAME = 200


def run_name(overrides: str) -> str:
    """Return a run's folder name from its overrides: one level deep, within the 255 bytes of a file name."""
    name = overrides.replace("/", "_") or "defaults"  # an empty name would be the study's own folder
    if len(name.encode()) > LONGEST_NAME:
        name = name[: LONGEST_NAME // 4] + "..." + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name


def within_runs(study: str) -> str:
    """Return a study's name if its folder lies below `paths.runs`. Hydra calls this before it creates the folder.

    Raises:
        ValueError: if it does not.
    """
    if leads_out(study):
        raise ValueError(
            f"study={study} leads out of paths.runs: give a name, without '..' and no leading '/'."
        )
    return study


OmegaConf.register_new_resolver("run_name", run_name, replace=True)
OmegaConf.register_new_resolver("within_runs", within_runs, replace=True)
