"""What the name of a run's folder tells: the overrides that chose the run, with commas between them."""

import re
from collections.abc import Sequence
from typing import TypeVar

from bridgelab.runs.older_names import current_key

OWN = "bridge._target_"  # of a user-defined class, which is then the run's bridge whatever yaml its keys start from
# Every study varies these, and they are not factors: a row is a bridge, and its runs are seeds.
ALWAYS = ("bridge", OWN, "seed", "data_seed")
Value = TypeVar("Value")
_SHORTENED = re.compile(
    r"\.\.\.[0-9a-f]{16}$"
)  # the last value of a name that was too long (`config.resolvers.run_name`)
_COMMA = re.compile(r",(?![^\[({]*[\])}])")  # outside brackets


def parts_of(name: str) -> list[str]:
    """Return the parts of a run's name, of which those with a `=` are overrides."""
    return _COMMA.split(name)


def is_shortened(value: str) -> bool:
    """Return whether the end of a value is missing because the name was too long."""
    return bool(_SHORTENED.search(value))


def overrides(name: str) -> dict[str, str]:
    """Return the keys and values in a run's name: 'bridge=mlp,train.lr=0.1' gives {'bridge': 'mlp', 'train.lr': '0.1'}."""
    parts = (part.lstrip("+").split("=", 1) for part in parts_of(name) if "=" in part)
    return {current_key(key): value for key, value in parts}


def bridge_of(name: str) -> str:
    """Return the bridge in a run's name, or the user-defined class; empty if the name has none."""
    return cell(name).get("bridge", "")


def cell(name: str) -> dict[str, str]:
    """Return the keys and values in a run's name as `overrides` does, with a user-defined class as the bridge."""
    return with_class(overrides(name))


def row_of(name: str, bridge: str) -> str:
    """Return the row that a run's name tells: 'linear, budget.tokens=4' for 'bridge=linear,budget.tokens=4,seed=0'.

    A name alone does not tell which keys the study varies, so each of its keys counts but the seeds.

    Args:
        name: of the run's folder.
        bridge: the run's bridge, which the name may lack.
    """
    return ", ".join([bridge, *(f"{key}={value}" for key, value in cell(name).items() if key not in ALWAYS)])


def with_class(values: dict[str, Value]) -> dict[str, Value]:
    """Return values of keys with a user-defined class as the bridge."""
    return {
        ("bridge" if key == OWN else key): value
        for key, value in values.items()
        if key != "bridge" or OWN not in values
    }


def row_keys(parts: Sequence[str]) -> list[str]:
    """Return those parts of a run's name that choose its row, as overrides. A user-defined class may stand as the bridge, as in `cell`."""
    row = [part for part in parts if "=" in part and is_of_row(part.lstrip("+").partition("=")[0])]
    return [re.sub(r"^bridge=(?=.*\.)", f"{OWN}=", part) for part in row]


def is_of_row(key: str) -> bool:
    """Return whether a key chooses a row, as `bridgelab study --add` takes it."""
    return key.partition(".")[0] in ("bridge", "budget")
