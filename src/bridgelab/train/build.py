"""From a config's `_target_` to an object: of named packages alone, and a bridge of the user's own. Free of torch."""

import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

PACKAGES = ("bridgelab.", "torch.optim.", "pytorch_lightning.")


def target(config: DictConfig) -> Any:
    """The class that a config names by `_target_`: one of `PACKAGES`, or a bridge of the user's own.

    Raises:
        ValueError: if it is neither.
    """
    name = config._target_
    if name.startswith(PACKAGES):
        return hydra.utils.get_object(name)
    from torch import nn

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where a user's own file lies
    try:
        found = hydra.utils.get_object(name)
    except Exception as error:
        raise ValueError(
            f"_target_: {name} could not be imported ({' '.join(str(error.__cause__ or error).split())}). Name a class of a file in the current folder, as "
            "my_module.MyBridge, or of an installed package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(
            f"_target_: {name} may not be built: a config names classes of {', '.join(PACKAGES)}, or a "
            "torch.nn.Module of your own for a bridge."
        )
    return found


def bridge_choices(config: DictConfig, grid: tuple[int, int] | None) -> dict[str, Any]:
    """The keyword arguments of a bridge's class: what its yaml chooses, and the patches' grid if it takes one and there is one."""
    chosen: Any = OmegaConf.to_container(config, resolve=True)
    choices = {str(key): value for key, value in chosen.items() if key not in ("_target_", "init_from")}
    takes_grid = grid is not None and "grid" in inspect.signature(target(config)).parameters
    return choices | ({"grid": grid} if takes_grid else {})


def _named_inside(node: Any) -> Iterator[str]:
    """What Hydra would build on the way to the node's own object, at any depth."""
    children = node.values() if isinstance(node, DictConfig) else node if isinstance(node, ListConfig) else ()
    for child in children:
        if isinstance(child, DictConfig) and "_target_" in child:
            yield str(child._target_)
        yield from _named_inside(child)


def build(config: DictConfig, *args: Any, **kwargs: Any) -> Any:
    """Make the object that a config names.

    Raises:
        ValueError: if configs may not name it, or as it says itself.
    """
    target(config)
    for name in _named_inside(config):
        if not name.startswith(PACKAGES):
            raise ValueError(
                f"_target_: {name} may not be built: what stands inside of another is of {', '.join(PACKAGES)}. Leave it out."
            )
    try:
        return hydra.utils.instantiate(config, *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None  # what the class itself says: value, rule, fix
        raise
