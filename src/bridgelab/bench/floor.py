"""What a training step can't be faster than, its matrix products alone, and what fills the rest."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")
COPIES = ("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_", "aten::index_select", "aten::index")
_OPERATORS = frozenset(
    getattr(getattr(torch.ops.aten, name.removeprefix("aten::")), overload)
    for name in PRODUCTS
    for overload in ("default", "out")
)
Call = Callable[[], object]


class _Recorder(TorchDispatchMode):
    """Keeps every matrix product that is called, with what it is called on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in _OPERATORS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def products_of(step: Call) -> Call:
    """The matrix products of a step, forward, backward and optimizer, to be run again on the same numbers.

    Args:
        step: is run once. Products that run inside of one operator (a fused attention) are not seen.
    """
    with _Recorder() as recorder:
        step()

    @torch.no_grad()
    def again() -> None:
        for func, args, kwargs in recorder.calls:
            func(*args, **kwargs)

    return again


def filling(step: Call, repetitions: int = 3) -> dict[str, float]:
    """Where a step's time goes on a CPU, as shares: products, copies, other operations, and what lies between them.

    Measured under a profiler, which costs most where operations are many and small.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        began = time.perf_counter()
        for _ in range(repetitions):
            step()
        whole = time.perf_counter() - began
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        if event.key.startswith("aten::"):
            kind = "products" if event.key in PRODUCTS else "copies" if event.key in COPIES else "operations"
            spent[kind] += event.self_cpu_time_total / 1e6
    shares = {kind: spent[kind] / whole for kind in ("products", "copies", "operations")}
    return shares | {"between": max(0.0, 1 - sum(shares.values()))}
