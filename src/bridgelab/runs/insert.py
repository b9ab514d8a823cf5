"""Where a run's visual tokens enter the language model. Free of torch."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def insert_of(config: DictConfig) -> Any:
    """Return `bridge.insert` if the bridge has one, otherwise `model.insert`."""
    return OmegaConf.select(config, "bridge.insert") or OmegaConf.select(config, "model.insert")
