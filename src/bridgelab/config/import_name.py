"""Import the object that a dotted name stands for, and say which part of the name is wrong. Free of torch."""

import importlib
import os
import pkgutil
from types import ModuleType
from typing import Any

from bridgelab.config.closest_key import nearest

ADVICE = "Name a class of a file in the current folder, as my_module.MyClass, or of an installed package."


def import_name(name: str) -> Any:
    """Return the object of a dotted name, such as `my_module.MyBridge`.

    Hydra's own function logs three lines on an error before it raises.

    Raises:
        ValueError: if a module can't be imported, or a part of the name does not exist, with the nearest that does.
    """
    parts = name.split(".")
    try:
        obj = _module(parts[0])
        if obj is None:
            others = [module.name for module in pkgutil.iter_modules([os.getcwd()])]
            problem = f"there is no module {parts[0]}{nearest(parts[0], [*others, 'bridgelab'])}"
            raise ValueError(_ended(problem))
        for number, part in enumerate(parts[1:], 1):
            parent, path = ".".join(parts[:number]), ".".join(parts[: number + 1])
            inner = getattr(obj, part, None)
            if inner is None and isinstance(obj, ModuleType):
                inner = _module(path)
            if inner is None:
                raise ValueError(_missing(obj, parent, part, last=path == name))
            obj = inner
    except _Broken as error:
        raise ValueError(f"{name} could not be imported ({error}). {ADVICE}") from error.__cause__
    return obj


class _Broken(Exception):
    """A module that exists and raises an error when it is imported."""


def _module(path: str) -> ModuleType | None:
    """Return a module, or None if there is none of this name."""
    try:
        return importlib.import_module(path)
    except Exception as error:
        # A module that is missing inside another one is that one's fault, and not the name's.
        if (isinstance(error, ModuleNotFoundError) and error.name == path) or not path.strip("."):
            return None
        raise _Broken(" ".join(str(error).split()) or type(error).__name__) from error


def _missing(obj: Any, parent: str, part: str, *, last: bool) -> str:
    classes = [name for name, value in vars(obj).items() if isinstance(value, type)]
    modules = [module.name for module in pkgutil.iter_modules(getattr(obj, "__path__", []))]
    kind, names = ("class", classes) if last else ("module", modules)
    alike = next((name for name in names if name.lower() == part.lower()), None)
    hint = f". Did you mean {alike}?" if alike else nearest(part, names)
    return _ended(f"{parent} has no {kind} {part}{hint}")


def _ended(problem: str) -> str:
    return problem if problem.endswith("?") else f"{problem}. {ADVICE}"
