"""Measurements of a call: its allocated bytes, and values that are extrapolated from smaller batches or fewer layers."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import MEMORY_EVENT_NAME
from torch.profiler import ProfilerActivity, profile

LIMIT = 10.0  # seconds that a call with a larger batch may take
GROWTH = 4  # from one batch size that is tried to the next
KINDS = {"cpu": (DeviceType.CPU, DeviceType.MKLDNN, DeviceType.IDEEP), "cuda": (DeviceType.CUDA,)}


class Allocated(NamedTuple):
    """Bytes of a call's tensors: the most at any moment, and those that remain, both less what was there before."""

    peak: int
    kept: int


def at_size(measure: Callable[[int], np.ndarray], size: int) -> np.ndarray:
    """Return a measurement at a batch size, or its extrapolation from the two largest that fit and take at most about `LIMIT` seconds.

    Args:
        measure: a batch size -> values, of which the first is seconds.
        size: of the batch.
    Raises:
        torch.OutOfMemoryError: if the GPU's memory runs out before two sizes are measured.
    """
    tried = 1
    values = {tried: measure(tried)}
    while tried < size and (len(values) < 2 or GROWTH * values[tried][0] < LIMIT):
        tried = min(GROWTH * tried, size)
        try:
            values[tried] = measure(tried)
        except torch.OutOfMemoryError:
            if len(values) < 2:
                raise
            break
    return extrapolated(values, size)


def extrapolated(values: Mapping[int, np.ndarray], size: int) -> np.ndarray:
    """Return the values at a size, on the line through the two largest sizes if it is none of them."""
    if size in values:
        return values[size]
    (less, low), (more, high) = sorted(values.items())[-2:]
    return high + (high - low) * (size - more) / (more - less)


def allocated(call: Callable[[], object], device: torch.device) -> Allocated:
    """Return the bytes that torch's allocator gives out in a call, by the profiler's record of each allocation."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no message at each start
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == MEMORY_EVENT_NAME and event.device_type() in KINDS[device.type]:
            held += event.nbytes()
            peak = max(peak, held)
    return Allocated(peak, held)
