"""From a config's `_target_` to an object: of the packages of its slot, and a module of the user's own. Free of torch."""

import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

# Keys of an object's config that are no arguments of its class.
NOT_ARGUMENTS = frozenset({"_target_", "_partial_", "_convert_", "init_from", "published"})
MODULE = "torch.nn.Module"  # of which a user may have an own one, from a file or package of any name


class Slot(NamedTuple):
    """What a group of the config may name.

    Args:
        packages: where its classes are defined.
        kind: what they are subclasses of.
        inside: where classes and functions are defined that may be built as arguments.
    """

    packages: tuple[str, ...]
    kind: str
    inside: tuple[str, ...] = ()


SLOTS = {
    "bridge": Slot(("bridgelab.bridge.",), MODULE),
    "vision": Slot(("bridgelab.vision.",), MODULE),
    "text": Slot(("bridgelab.text.",), MODULE),
    "benchmark": Slot(("bridgelab.benchmark.",), "bridgelab.benchmark.example.Benchmark"),
    "optim": Slot(("bridgelab.optim.", "torch.optim."), "torch.optim.Optimizer"),
    "trainer": Slot(("pytorch_lightning.",), "pytorch_lightning.Trainer", ("pytorch_lightning.",)),
    "logger": Slot(
        ("bridgelab.training.loggers.", "pytorch_lightning."),
        "pytorch_lightning.loggers.Logger",
        ("pytorch_lightning.",),
    ),
}


def is_own(config: DictConfig, slot: str) -> bool:
    """Whether a config names code from outside of the slot's packages, which is run as soon as it is imported."""
    return not str(config._target_).startswith(SLOTS[slot].packages)


def target(config: DictConfig, slot: str) -> Any:
    """The class that a config names by `_target_`: one of its slot's packages, or a `torch.nn.Module` of the user's own.

    A name alone proves nothing: `torch.optim.optimizer.torch.load` begins like an optimizer. So what the name leads to is asked
    where it was defined, and of what kind it is.

    Args:
        config: of one object.
        slot: of `SLOTS`, which it stands in.
    Raises:
        ValueError: if it is no such class.
    """
    packages, kind, _ = SLOTS[slot]
    name = config._target_
    own = is_own(config, slot)
    allowed = f"{slot} takes a {kind.rpartition('.')[2]} of {' or '.join(packages)}*" + (
        f", or a {MODULE} of your own" if kind == MODULE else ""
    )
    if not isinstance(name, str) or (own and kind != MODULE):
        raise ValueError(f"{slot}._target_: {name} may not be built: {allowed}. Set {slot}._target_.")
    if own and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where a user's own file lies
    try:
        found = hydra.utils.get_object(name)
    except Exception as error:
        raise ValueError(
            f"{slot}._target_: {name} could not be imported ({' '.join(str(error.__cause__ or error).split())}). Name a class of "
            "a file in the current folder, as my_module.MyBridge, or of an installed package."
        ) from error
    defined = own or _defined_in(found, packages)
    if not (defined and isinstance(found, type) and issubclass(found, hydra.utils.get_object(kind))):
        raise ValueError(f"{slot}._target_: {name} may not be built: {allowed}. Set {slot}._target_.")
    return found


def _defined_in(found: Any, packages: tuple[str, ...]) -> bool:
    """Whether this is a class or a function of one of the packages, and not one that a module of theirs imports."""
    return (isinstance(found, type) or inspect.isfunction(found)) and f"{found.__module__}.".startswith(
        packages
    )


def check_arguments(kind: Any, choices: Iterable[str]) -> None:
    """Refuse keyword arguments that a class does not take, with those that it takes.

    Raises:
        ValueError: with the name.
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


def bridge_choices(config: DictConfig, grid: tuple[int, int] | None) -> dict[str, Any]:
    """The keyword arguments of a bridge's class: what its yaml chooses, and the patches' grid if it takes one and there is one."""
    chosen: Any = OmegaConf.to_container(config, resolve=True)
    choices = {str(key): value for key, value in chosen.items() if key not in ("_target_", "init_from")}
    kind = target(config, "bridge")
    check_arguments(kind, choices)
    takes_grid = grid is not None and "grid" in inspect.signature(kind).parameters
    return choices | ({"grid": grid} if takes_grid else {})


def _named_inside(node: Any) -> Iterator[str]:
    """What Hydra would build on the way to the node's own object, at any depth."""
    children = node.values() if isinstance(node, DictConfig) else node if isinstance(node, ListConfig) else ()
    for child in children:
        if isinstance(child, DictConfig) and "_target_" in child:
            yield str(child._target_)
        yield from _named_inside(child)


def build(config: DictConfig, slot: str, *args: Any, **kwargs: Any) -> Any:
    """Make the object that a config names.

    Args:
        config: of one object.
        slot: of `SLOTS`, which it stands in.
        args, kwargs: given to its class beside what the config holds.
    Raises:
        ValueError: if configs may not name it, or as it says itself.
    """
    kind = target(config, slot)
    check_arguments(kind, {str(key) for key in config} - NOT_ARGUMENTS)
    if "published" in config:
        config = config.copy()
        OmegaConf.set_struct(config, False)
        del config["published"]
    inside = SLOTS[slot].inside
    for name in _named_inside(config):
        if not (name.startswith(inside) and _defined_in(hydra.utils.get_object(name), inside)):
            raise ValueError(
                f"{slot}: _target_: {name} may not be built: what stands inside of another is of {' or '.join(inside) or 'no package'}. "
                "Leave it out."
            )
    try:
        return hydra.utils.instantiate(config, *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None  # what the class itself says: value, rule, fix
        raise
