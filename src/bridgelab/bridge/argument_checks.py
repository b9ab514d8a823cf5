"""Checks of bridges' keyword arguments that several bridges share."""

import math


def require_positive(**choices: int) -> None:
    """Check that counts are at least 1.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in choices.items():
        if value < 1:
            raise ValueError(f"{name}={value} is less than 1. Set bridge.{name} to a positive number.")


def require_divisor(name: str, value: int, of: str, dividend: int, fix: str = "") -> None:
    """Check that a choice divides a number.

    Args:
        name: of the choice.
        value: of the choice.
        of: name of the number.
        dividend: the number.
        fix: what else the user may do, for the message.
    Raises:
        ValueError: if it does not, with the values that do.
    """
    if dividend % value:
        divisors = [n for n in range(1, dividend + 1) if dividend % n == 0]
        raise ValueError(
            f"{name}={value} does not divide {of}={dividend}. Set bridge.{name} to one of {divisors}{fix}."
        )


def square_side(name: str, value: int) -> int:
    """Return the side of a square grid with this many queries.

    Args:
        name: of the choice.
        value: of the choice.
    Raises:
        ValueError: if it is not a square, with the nearest ones.
    """
    side = math.isqrt(value)
    if side**2 != value:
        raise ValueError(
            f"{name}={value} is not a square, and queries stand for a square grid. "
            f"Set bridge.{name} to {side**2} or {(side + 1) ** 2}."
        )
    return side
