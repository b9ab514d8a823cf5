"""Check what a run starts from before torch and models are imported. Free of torch."""

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
        from bridgelab.bridge.initial_file import check_initial_file

        check_initial_file(config)
