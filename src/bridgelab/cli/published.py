"""`--bridge SOURCE` of `bridgelab evaluate` and `bridgelab answer`: the config of a published bridge."""

import re
from collections.abc import Sequence
from typing import Any

from bridgelab.cli.arguments import UsageError
from bridgelab.cli.hydra_app import composed
from bridgelab.runs.warm_start_files import WARM

FREE = ("train.precision", "data.dtype")  # of a repository, unless the command line names them
UNTRAINED = ("train", "tune", "optim", "logger", "budget")  # groups that only concern training


def published_config(
    source: str, choices: Sequence[str], *, asks: bool = False, trust: bool = False
) -> tuple[str, Any]:
    """Return the name of a published bridge, and the config to use it with.

    What the command line names is taken as given. Besides that, a repository of the hub brings its bridge and its backbones, and a
    converted file its bridge with its choices. `text=NAME` takes the place of the repository's language model, and `text.path=FOLDER`
    changes that key of it. `train.precision` and `data.dtype` are the repository's, too.

    Args:
        source: a file that `bridgelab convert` wrote, hf://ORG/NAME, or `warm`: a bridge of the package, chosen by `bridge` and `seed`.
        choices: overrides `key=value`.
        asks: also take the prompts of the benchmark that a repository's bridge was trained on.
        trust: allow code from outside this package.
    Raises:
        UsageError: if an override concerns training alone, or another bridge than the repository's.
        OSError, ValueError: if the source can't be read.
    """
    named = {re.split(r"[=@]", one.lstrip("+~"))[0]: one.partition("=")[2] for one in choices}
    groups = {key.partition(".")[0] for key in named}
    for key in named:
        if key.partition(".")[0] in UNTRAINED and key != "train.precision":
            raise UsageError(f"{key} changes nothing here: nothing is trained. Leave it out.")
    from omegaconf import OmegaConf

    from bridgelab.bridge.hub_repository import check_repository, is_hub

    if is_hub(source):
        check_repository(source)  # before torch is imported
    from bridgelab.bridge.hub import read_hub_bridge
    from bridgelab.bridge.published import read_metadata
    from bridgelab.config.check import check_config
    from bridgelab.evaluation.load import refuse_foreign
    from bridgelab.evaluation.published_bridge import use_hub_bridge

    if is_hub(source):
        if other := groups & {"bridge", "model"}:
            raise UsageError(f"{sorted(other)[0]} is the repository's own: {source} names it. Leave it out.")
        hub, config = read_hub_bridge(source), composed(list(choices))
        brought = ("vision", "text", *(["benchmark"] if asks else []))
        replaced = [group for group in brought if group not in named]
        changed = {
            key: OmegaConf.select(config, key)
            for key in named
            if key in FREE or key.partition(".")[0] in replaced
        }
        use_hub_bridge(config, hub, replaced=replaced)
        for key, value in changed.items():
            OmegaConf.update(config, key, value, force_add=True)
        name = hub.config.bridge
    else:
        about = {} if source == WARM else read_metadata(source)
        name = named.get("bridge") or about.get("bridge") or "linear"
        config = composed([f"bridge={name}", *(one for one in choices if not one.startswith("bridge="))])
        for key, value in about.get("choices", {}).items():
            if name == about["bridge"] and f"bridge.{key}" not in named:
                OmegaConf.update(config, f"bridge.{key}", value, force_add=True)
        config.bridge.init_from = source
    if "study" not in named:
        config.study = "published"
    check_config(config)
    if not trust:
        refuse_foreign(config, source)
    return str(name), config
