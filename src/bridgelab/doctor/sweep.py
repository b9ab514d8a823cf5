"""A command line's one job, and by how much its sweep multiplies it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

SHARED = ("seed", "data_seed")  # one search of the learning rate serves them all


@dataclass(frozen=True)
class Sweep:
    """The first job of a sweep, or the only one.

    Args:
        config: the job's, with Hydra's own.
        values: what is swept, and over how many values.
    """

    config: DictConfig
    values: Mapping[str, int]

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return math.prod(self.values.values())

    @property
    def searches(self) -> int:
        """How many of them differ in more than seeds."""
        return math.prod(number for key, number in self.values.items() if key not in SHARED)


def sweep(conf: Path, args: Sequence[str]) -> Sweep:
    """What `bridgelab train` would run with these arguments.

    Args:
        conf: the folder of config groups.
        args: overrides; lists, and a study's sweep, are counted, and their first values taken.
    Raises:
        ValueError: if they do not compose.
    """
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            given, values = _first(args)
            config = compose("train", given, return_hydra_config=True)
            own = config.hydra.sweeper.get("params") or {}
            if own and config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN":
                named = {key for key, _ in (one.split("=", 1) for one in given)}
                swept, more = _first(
                    [f"{key}={value}" for key, value in own.items() if str(key) not in named]
                )
                values = more | values
                config = compose("train", [*given, *swept], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(
            f"{' '.join(str(error).split())}. Give overrides as to `bridgelab train`."
        ) from error
    return Sweep(config, values)


def _first(args: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Overrides with the first value of each list, and how many values a list has."""
    given, values = [], {}
    for one in OverridesParser.create().parse_overrides(list(args)):
        if one.is_sweep_override():
            every = list(one.sweep_string_iterator())
            given.append(f"{_key(one)}={every[0]}")
            values[one.get_key_element().lstrip("+~")] = len(every)
        else:
            given.append(str(one.input_line))
    return given, values


def _key(override: Override) -> str:
    return override.get_key_element()
