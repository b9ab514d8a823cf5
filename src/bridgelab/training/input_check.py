"""Check what a run starts from before torch and models are imported. Free of torch."""

from typing import Any

from omegaconf import DictConfig

from bridgelab.runs.warm_start_files import WARM


def check_initial_weights(config: DictConfig) -> None:
    """Check that the weights of `bridge.init_from` are there, and of this run's kind of bridge as far as their header tells.

    Raises:
        ConnectionError: if they are on the hub, and it can't be reached.
        OSError: if there is no such file or repository.
        ValueError: if they are of another bridge or language model.
    """
    source = config.bridge.get("init_from")
    if source is None or source == WARM:
        return
    from bridgelab.bridge.hub_repository import check_repository, is_hub

    if is_hub(source):
        check_repository(source)
    else:
        from bridgelab.bridge.init_from import check_initial_file

        check_initial_file(config)
        trials = with_seed(config, config.tune.seed)
        if config.train.lr is None and config.train.steps and trials.bridge.init_from != source:
            try:
                check_initial_file(trials)
            except (OSError, ValueError) as error:
                raise type(error)(
                    f"the trials that all seeds share start as a run of tune.seed={config.tune.seed}: {error} Or set tune.seed or train.lr."
                ) from error


def with_seed(config: DictConfig, seed: int) -> Any:
    """Return the config of another seed, whose `bridge.init_from` may hold `${seed}`."""
    other = config.copy()
    other.seed = seed
    return other
