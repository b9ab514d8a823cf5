"""The lower bound of a training step, its matrix products alone, and what fills the rest."""

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
    """Records every matrix product with its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in _OPERATORS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def products_of(step: Call) -> Call:
    """Return a function that repeats the matrix products of a step (forward, backward, optimizer) on the same numbers.

    Args:
        step: is run once. Products inside one operator (a fused attention) are not recorded.
    """
    with _Recorder() as recorder:
        step()

    @torch.no_grad()
    def repeat() -> None:
        for func, args, kwargs in recorder.calls:
            func(*args, **kwargs)

    return repeat


def filling(step: Call, repetitions: int = 3) -> dict[str, float]:
    """Return the shares of a step's time on a CPU: products, copies, other operations, and the time between them.

    Measured under a profiler, whose own cost is largest if operations are many and small.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        began = time.perf_counter()
        for _ in range(repetitions):
            step()
        total = time.perf_counter() - began
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        if event.key.startswith("aten::"):
            kind = "products" if event.key in PRODUCTS else "copies" if event.key in COPIES else "operations"
            spent[kind] += event.self_cpu_time_total / 1e6
    shares = {kind: spent[kind] / total for kind in ("products", "copies", "operations")}
    return shares | {"between": max(0.0, 1 - sum(shares.values()))}
