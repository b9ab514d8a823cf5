"""Build objects from a config's `_target_`: classes of the slot's packages, or the user's own modules. Free of torch."""

import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from bridgelab.config.import_name import import_name

# Keys of an object's config that are no arguments of its class.
NOT_ARGUMENTS = frozenset({"_target_", "_partial_", "_convert_", "init_from", "insert"})
MODULE = "torch.nn.Module"
BENCHMARK = "bridgelab.benchmark.example.Benchmark"
# Kinds of which a slot also takes a class of the user's own, from any file or package, with their names in a message.
OPEN = {MODULE: "torch.nn.Module of your own", BENCHMARK: "class of your own with examples() and metrics()"}


class Slot(NamedTuple):
    """What a group of the config may name.

    Args:
        packages: the packages that define its classes.
        kind: the base class of its classes.
        inside: the packages of classes and functions that may be built as arguments.
        elsewhere: keys of the group that other parts read, and not its class.
    """

    packages: tuple[str, ...]
    kind: str
    inside: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


SLOTS = {
    "bridge": Slot(("bridgelab.bridge.",), MODULE),
    "vision": Slot(("bridgelab.vision.",), MODULE),
    "text": Slot(("bridgelab.text.",), MODULE, elsewhere=("adapt", "prompt_tokens", "lora")),
    "benchmark": Slot(("bridgelab.benchmark.",), BENCHMARK, elsewhere=("published",)),
    "optim": Slot(("bridgelab.optim.", "torch.optim."), "torch.optim.Optimizer"),
    "trainer": Slot(("pytorch_lightning.",), "pytorch_lightning.Trainer", ("pytorch_lightning.",)),
    "logger": Slot(
        ("bridgelab.training.loggers.", "pytorch_lightning."),
        "pytorch_lightning.loggers.Logger",
        ("pytorch_lightning.",),
    ),
}


def is_own(config: DictConfig, slot: str) -> bool:
    """Return whether a config names code from outside the slot's packages, which runs as soon as it is imported."""
    return not str(config._target_).startswith(SLOTS[slot].packages)


def target(config: DictConfig, slot: str) -> Any:
    """Return the class that a config names by `_target_`: of its slot's packages, or the user's own if the slot is `OPEN`.

    A name alone proves nothing: `torch.optim.optimizer.torch.load` begins like an optimizer. So the object is checked for
    where it was defined and for its base class.

    Args:
        config: the config of one object.
        slot: a key of `SLOTS`.
    Raises:
        ValueError: if it names no such class.
    """
    packages, kind = SLOTS[slot].packages, SLOTS[slot].kind
    name = config._target_
    own = is_own(config, slot)
    allowed = f"{slot} takes a {kind.rpartition('.')[2]} of {' or '.join(packages)}*" + (
        f", or a {OPEN[kind]}" if kind in OPEN else ""
    )
    if not isinstance(name, str) or (own and kind not in OPEN):
        raise ValueError(f"{slot}._target_: {name} may not be built: {allowed}. Set {slot}._target_.")
    if own and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the user's own file is here
    try:
        obj = import_name(name)
    except ValueError as error:
        raise ValueError(f"{slot}._target_: {error}") from error
    defined = own or _defined_in(obj, packages)
    if not (defined and isinstance(obj, type) and issubclass(obj, import_name(kind))):
        raise ValueError(f"{slot}._target_: {name} may not be built: {allowed}. Set {slot}._target_.")
    return obj


def _defined_in(obj: Any, packages: tuple[str, ...]) -> bool:
    """Return whether one of the packages defines this class or function, rather than imports it."""
    return (isinstance(obj, type) or inspect.isfunction(obj)) and f"{obj.__module__}.".startswith(packages)


def check_arguments(kind: Any, choices: Iterable[str]) -> None:
    """Check that a class takes the keyword arguments.

    Raises:
        ValueError: with the first name that it does not take, and those that it takes.
    """
    taken = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    for choice in choices:
        if choice not in taken:
            own = ", ".join(name for name in taken if name not in ("vision_dim", "text_dim", "grid"))
            raise ValueError(
                f"{choice}: {kind.__name__} takes no such argument, it takes {own or 'none'}. Correct the name."
            )


def check_classes(config: DictConfig) -> None:
    """Check every class that a run's config names and its arguments, so that a typo is found before models and data are read.

    Args:
        config: of a run, which holds some of `SLOTS`.
    Raises:
        ValueError: if a slot does not allow its class, or the class does not take an argument.
    """
    for slot, allowed in SLOTS.items():
        group = config.get(slot) or {}
        for node in [group] if "_target_" in group else group.values():  # a group of loggers holds several
            if isinstance(node, DictConfig) and "_target_" in node:
                check_arguments(
                    target(node, slot), {str(key) for key in node} - NOT_ARGUMENTS - {*allowed.elsewhere}
                )


def bridge_choices(config: DictConfig, grid: tuple[int, int] | None) -> dict[str, Any]:
    """Return the keyword arguments of a bridge's class: those of its yaml, and the grid of patches if the class takes it."""
    chosen: Any = OmegaConf.to_container(config, resolve=True)
    choices = {str(key): value for key, value in chosen.items() if key not in NOT_ARGUMENTS}
    kind = target(config, "bridge")
    check_arguments(kind, choices)
    takes_grid = grid is not None and "grid" in inspect.signature(kind).parameters
    return choices | ({"grid": grid} if takes_grid else {})


def _named_inside(node: Any) -> Iterator[str]:
    """Yield every `_target_` below a node, which Hydra would build as an argument."""
    children = node.values() if isinstance(node, DictConfig) else node if isinstance(node, ListConfig) else ()
    for child in children:
        if isinstance(child, DictConfig) and "_target_" in child:
            yield str(child._target_)
        yield from _named_inside(child)


def build(config: DictConfig, slot: str, *args: Any, **kwargs: Any) -> Any:
    """Build the object that a config names.

    Args:
        config: the config of one object.
        slot: a key of `SLOTS`.
        args, kwargs: further arguments of its class.
    Raises:
        ValueError: if the slot does not allow the class, or raised by the class itself.
    """
    kind = target(config, slot)
    inside = SLOTS[slot].inside
    if elsewhere := [key for key in SLOTS[slot].elsewhere if key in config]:
        config = config.copy()  # which keeps its place in the whole config, for interpolations
        OmegaConf.set_struct(config, False)
        for key in elsewhere:
            del config[key]
    check_arguments(kind, {str(key) for key in config} - NOT_ARGUMENTS)
    for name in _named_inside(config):
        if not (name.startswith(inside) and _defined_in(import_name(name), inside)):
            raise ValueError(
                f"{slot}: _target_: {name} may not be built: a nested class must be of {' or '.join(inside) or 'no package'}. "
                "Leave it out."
            )
    try:
        return hydra.utils.instantiate(config, *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError | MemoryError):
            raise error.__cause__ from None  # the class's own message
        raise
