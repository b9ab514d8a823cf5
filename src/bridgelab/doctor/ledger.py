"""The most memory that the parts of a call take, from the profiler's record of each allocation."""

import os
from collections.abc import Callable

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import MEMORY_EVENT_NAME
from torch.profiler import ProfilerActivity, profile, record_function

PART = "bridgelab part: "
START, END = "start", "end"
KINDS = {"cpu": (DeviceType.CPU, DeviceType.MKLDNN, DeviceType.IDEEP), "cuda": (DeviceType.CUDA,)}


def part(name: str) -> None:
    """From here on what runs under `allocated` belongs to the part `name`."""
    with record_function(PART + name):
        pass


def allocated(call: Callable[[], object], device: torch.device) -> dict[str, int]:
    """Most bytes on a device in each part of a call, less what was there before it.

    Counted are tensors, as torch's allocator gives them out; not what a library keeps for itself.

    Returns:
        part -> bytes; what comes before the first part is `START`, what is left behind is `END`.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells of each start
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
    results = profiled.profiler.kineto_results  # type: ignore[union-attr]
    held, now = 0, START
    most = {START: 0}
    for event in sorted(results.events(), key=lambda event: event.start_ns()):
        if event.name().startswith(PART):
            now = event.name().removeprefix(PART)
            most[now] = max(most.get(now, held), held)
        elif event.name() == MEMORY_EVENT_NAME and event.device_type() in KINDS[device.type]:
            held += event.nbytes()
            most[now] = max(most[now], held)
    return most | {END: held}
