"""The learning-rate schedule: a warm-up, then one of four shapes."""

import math
from collections.abc import Callable


def lr_schedule(
    shape: str, steps: int, warmup: float, decay: float = 0.2, end: int | None = None
) -> Callable[[int], float]:
    """Return a schedule: step -> learning rate as a share of its peak.

    Linear warm-up over the share `warmup` of all steps; then `linear` or `cosine` decay to 0, or `constant`, or
    `warmup_stable_decay`: constant, then linear to 0 over the share `decay` (Hägele et al. 2024, arXiv:2405.18392).

    Args:
        shape: one of the four.
        steps: of the whole run.
        warmup: share of the steps.
        decay: share of the steps, for `warmup_stable_decay`.
        end: for `warmup_stable_decay`, the step at which the rate is 0, of a budget smaller than `steps`; None for `steps`.
    Raises:
        ValueError: if the shape is unknown.
    """
    last = end or steps
    cool_down = (1 - decay) * last
    shapes: dict[str, Callable[[int], float]] = {
        "linear": lambda step: 1 - (step - rise) / max(1, steps - rise),
        "cosine": lambda step: (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2,
        "constant": lambda step: 1.0,
        "warmup_stable_decay": lambda step: min(1.0, (last - step) / (last - cool_down)),
    }
    if shape not in shapes:
        raise ValueError(f"train.schedule.shape={shape!r} must be one of {', '.join(shapes)}. Set it to one.")
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return max(0.0, shapes[shape](min(step, steps)))

    return factor
