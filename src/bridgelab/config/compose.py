"""Compose configs from overrides, with Hydra's errors in one line: the value, the rule, the nearest name. Free of torch."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import bridgelab.config.resolvers  # noqa: F401, which conf/train.yaml needs
from bridgelab.config.check import decided_elsewhere, declared
from bridgelab.config.closest_key import nearest
from bridgelab.config.schema.base import OWN

ONE_CLASS = (
    "vision",
    "text",
)  # groups of which each yaml is of one class, which takes all declared keys, also those that a yaml lacks
POOL = "hydra_plugins.bridgelab_pool."  # the launcher that takes no further keys
SEEDS = ("seed", "data_seed")  # one search of the learning rate serves all of them
UNKNOWN = re.compile(r"(?:In '.*?': )?Could not override '([^']+)'")  # Hydra's message


@dataclass(frozen=True)
class Sweep:
    """The first job of a sweep, or the only one.

    Args:
        config: the job's, with Hydra's own.
        values: the number of values of each key that is swept.
    """

    config: DictConfig
    values: Mapping[str, int]

    @property
    def jobs(self) -> int:
        """The number of jobs."""
        return math.prod(self.values.values())

    @property
    def searches(self) -> int:
        """The number of jobs that differ in more than seeds."""
        return math.prod(number for key, number in self.values.items() if key not in SEEDS)

    @property
    def is_multirun(self) -> bool:
        """Whether a study or an override asks for a sweep, so that `-m` is not needed."""
        mode = self.config.hydra.mode
        return mode is not None and mode.name == "MULTIRUN"


def compose_config(conf: Path, name: str, overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """Return a config.

    Args:
        conf: the folder of config groups.
        name: the primary config, such as `train`.
        overrides: with one value each.
        hydra: keep Hydra's own keys.
    Raises:
        ValueError: if they do not compose, with one line that names the override, the rule and the nearest name.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            return compose(name, list(overrides), return_hydra_config=hydra)
        except (HydraException, OmegaConfBaseException) as error:
            if unknown := UNKNOWN.match(str(error)):
                choices = [one for one in overrides if _is_choice(one, conf)]
                chosen = compose(name, choices, return_hydra_config=True)
                raise ValueError(_unknown_key(unknown[1], overrides, chosen)) from error
            raise ValueError(_one_line(error)) from error


def _is_choice(override: str, conf: Path) -> bool:
    """Return whether an override chooses the option of a group."""
    group = override.partition("=")[0]
    return (conf / group).is_dir() or group == "experiments"


def _unknown_key(key: str, overrides: Sequence[str], config: DictConfig) -> str:
    """Return the message on a key that a config lacks, with the keys that there are beside it."""
    given = next((one for one in overrides if one.lstrip("+").startswith(f"{key}=")), key)
    parent, dot, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if dot else config
    if not isinstance(node, DictConfig):
        return f"{given}: there is no key {parent or key}{nearest(parent, map(str, config)) or '.'}"
    if told := decided_elsewhere(key):
        return f"{given}: {told}."
    if any(one.startswith(f"{parent}._target_=") for one in overrides):
        return f"{given}: the yaml that {parent} starts from has no key {name}. If your class takes it, write +{given.lstrip('+')}."
    added = f"write +{given.lstrip('+')}."
    if name in node:  # a mapping, given with a key that it lacks
        return f"{given}: {key} has no key of this name yet. To add it, {added}"
    if parent in ONE_CLASS and key in declared():
        return f"{given}: the yaml of the chosen {parent} has no key {name}, which its class takes. To add it, {added}"
    known = [str(one) for one in node if not str(one).startswith("_")]
    hint = nearest(key, ()) or nearest(name, known).replace("mean ", f"mean {parent}{dot}")
    where = f"the chosen {parent}" if dot else "the config"
    told = f"{given}: there is no key {key}{hint or f'. Keys of {where} are ' + ', '.join(known) + '.'}"
    target = str(node.get("_target_") or OWN)
    if target.startswith((OWN, POOL)):
        return told
    return f"{told} If {target.rpartition('.')[2]} takes it, {added}"


def _one_line(error: Exception) -> str:
    options, wanted = getattr(error, "options", None), getattr(error, "missing_cfg_file", None)
    if options and wanted:
        group, _, name = str(wanted).rpartition("/")
        return f"{group}={name}: must be one of {', '.join(options)}{nearest(name, options)}"
    message = " ".join(str(error).partition("See https:")[0].split()).rstrip(".")
    return f"{message}. Correct that override, or leave it out."


def compose_sweep(conf: Path, overrides: Sequence[str], name: str = "train") -> Sweep:
    """Return what a command would run with these overrides.

    Args:
        conf: the folder of config groups.
        overrides: of a list, and of each key that a study sweeps, the number of values and the first one are used.
        name: the primary config, which has the command's name.
    Raises:
        ValueError: as `compose_config`.
    """
    given, values = _first_values(conf, overrides)
    config = compose_config(conf, name, given, hydra=True)
    sweep = Sweep(config, values)
    params = config.hydra.sweeper.get("params") or {}
    # Other sweepers read their params in their own way.
    of_hydra = str(config.hydra.sweeper._target_).endswith(".BasicSweeper")
    if params and sweep.is_multirun and of_hydra:
        keys = {one.split("=", 1)[0] for one in given}
        of_study = [f"{key}={value}" for key, value in params.items() if str(key) not in keys]
        swept, study_values = _first_values(conf, of_study)
        return Sweep(compose_config(conf, name, [*given, *swept], hydra=True), study_values | values)
    return sweep


def each_value(conf: Path, overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield the overrides once with the first value of each list, then once for each further value of a list.

    Args:
        conf: the folder of config groups.
        overrides: with one value each, or several.
    Raises:
        ValueError: if an override can't be read, or a glob matches no option.
    """
    first, _ = _first_values(conf, overrides)
    yield first
    for place, one in enumerate(_parsed(overrides)):
        if one.is_sweep_override():
            for value in _values(conf, one)[1:]:
                yield [*first[:place], f"{one.get_key_element()}={value}", *first[place + 1 :]]


def lists(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that give a key several values, as in `bridge=linear,mlp`."""
    return [str(one.input_line) for one in _parsed(overrides) if one.is_sweep_override()]


def _first_values(conf: Path, overrides: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return overrides with the first value of each list, and the number of values of each list."""
    first, numbers = [], {}
    for one in _parsed(overrides):
        key = one.get_key_element()
        if one.is_sweep_override():
            values = _values(conf, one)
            first.append(f"{key}={values[0]}")
            numbers[key.lstrip("+~")] = len(values)
        else:
            first.append(str(one.input_line))
    return first, numbers


def _values(conf: Path, override: Any) -> list[str]:
    """Return the values of a sweep's override; of an interval, which another sweeper draws from, its ends."""
    from hydra.core.override_parser.types import Glob

    value = override.value()
    if override.is_interval_sweep():
        return [str(value.start), str(value.end)]
    if isinstance(value, Glob):
        folder = (conf if (conf / override.key_or_group).is_dir() else conf.parent) / override.key_or_group
        names = sorted(path.stem for path in folder.glob("*.yaml"))
        if not (chosen := value.filter(names)):
            options = f" Options are {', '.join(names)}." if names else ""
            raise ValueError(f"{override.input_line}: no option of {override.key_or_group} matches.{options}")
        return chosen
    return list(override.sweep_string_iterator())


def _parsed(overrides: Sequence[str]) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ValueError(_one_line(error)) from error
