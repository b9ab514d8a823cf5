"""The GPUs and threads that each slot of a pool gives to its jobs. Free of torch."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

ON_GPU = ("gpu", "cuda", "auto")  # values of trainer.accelerator
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def slot_environments(
    slots: int | None,
    gpus_per_job: int | None,
    threads: int | None,
    trainers: Sequence[Mapping[str, Any]] = ({},),
) -> list[dict[str, str]]:
    """Return the environment variables that each slot adds, one dictionary per slot.

    Args:
        slots: jobs at a time; None gives one slot per `gpus_per_job` GPUs, or 2 on the CPU.
        gpus_per_job: GPUs of a slot, shared with no other; None gives the most that a job's trainer takes. Ignored on the CPU.
        threads: threads of a job; None divides this process's cores by the slots.
        trainers: `trainer` of each job. If the accelerator of none of them is in `ON_GPU`, GPUs are not counted, and
            jobs may encode features on them.
    Raises:
        ValueError: if a number is not positive, or there are too few GPUs.
    """
    for name, value in (("slots", slots), ("gpus_per_job", gpus_per_job), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"hydra.launcher.{name}={value} is not positive. Set it to at least 1.")
    devices = [one.get("devices", 1) for one in trainers if str(one.get("accelerator", "auto")) in ON_GPU]
    gpus = visible_gpus() if devices else []
    # -1 and auto: all there are
    needed = (one if isinstance(one, int) and one > 0 else len(gpus) for one in devices)
    each = gpus_per_job or max(needed, default=1)
    if gpus:
        available = len(gpus) // each
        slots = slots or available
        if slots == 0 or slots > available:
            raise ValueError(
                f"slots={slots or 1} times gpus_per_job={each} is more than the {len(gpus)} GPUs "
                "there are. Set hydra.launcher.slots, trainer.devices or hydra.launcher.gpus_per_job lower."
            )
    slots = slots or 2
    threads = threads or max(1, available_cores() // slots)
    environments = [dict.fromkeys(_THREAD_VARIABLES, str(threads)) for _ in range(slots)]
    if gpus:
        for slot, environment in enumerate(environments):
            own = gpus[slot * each : (slot + 1) * each]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return environments


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by index or UUID, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if listing.returncode != 0:
        return []
    count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    return [str(index) for index in range(count)]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
