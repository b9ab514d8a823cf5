"""A row of a study's tables: one bridge, floor or ceiling with all its numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bridgelab.runs.study import Study
from bridgelab.statistics.convergence import Convergence
from bridgelab.statistics.estimate import Estimate
from bridgelab.statistics.gap_closed import Ratio

ALL = "all"  # the column of all questions
CONSISTENCY = "consistency"  # the share of groups in which every answer is right
LABELS = {
    "blind": "floor: blind",
    "shuffled": "floor: shuffled",
    "majority": "floor: majority",
    "words": "ceiling: words",
    "words_patch_like": "ceiling: words, patch-like",
    "words_prompted": "ceiling: words, prompted",
}
ROLES = {"image": "bridge", "nothing": "floor", "words": "ceiling"}  # by what a run sees


@dataclass(frozen=True)
class Row:
    """One bridge, floor or ceiling, over all its seeds.

    Args:
        name: of the bridge, with the levels of what else is swept.
        role: "bridge", "floor" or "ceiling".
        seeds: number of trained runs; 0 if nothing is trained.
        orders: number of orders of examples if runs of one order are averaged over seeds; else 0.
        accuracy: share in [0, 1] by reasoning type, under `ALL` over all questions, and under `CONSISTENCY` over groups.
        gap: the gap closed, by the same keys; None where there is no gap to close. Empty for floors and ceilings.
        captioned: accuracy from the bridge's own caption in place of its tokens, by the same keys; empty if not recorded.
        captions: "cider" in [0, 10] and "attributes", a share in [0, 1], as far as recorded.
        costs: "parameters", "visual_tokens" and "flops" (per example, forward and backward, bridge and language model).
        convergence: validation accuracy at each budget; None if nothing is trained.
        started_from: source of the trained weights that its runs start from; empty if they were trained from scratch.
        curves: for each seed (step, validation accuracy) pairs [step, 2]; `Summary.curve_of` says if it is another metric.
    """

    name: str
    role: str
    seeds: int = 0
    orders: int = 0
    accuracy: dict[str, Estimate] = field(default_factory=dict)
    gap: dict[str, Ratio | None] = field(default_factory=dict)
    captioned: dict[str, Estimate] = field(default_factory=dict)
    captions: dict[str, Estimate] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    convergence: Convergence | None = None
    started_from: str = ""
    curves: tuple[np.ndarray, ...] = ()

    @property
    def label(self) -> str:
        """The printed name, with the role of a floor or a ceiling."""
        text = label(self.name)
        return f"{self.role}: {self.name}" if self.role != "bridge" and text == self.name else text

    @property
    def counted(self) -> str:
        """What its estimates have a value each of: seeds, or orders of examples."""
        return "orders of examples" if self.orders else "seeds"

    @property
    def start_and_end(self) -> tuple[float, float] | None:
        """Mean validation accuracy before the first step and after the last one; None if the first is not recorded for each run."""
        if not self.curves or any(curve[0, 0] != 0 for curve in self.curves):
            return None
        return (
            float(np.mean([curve[0, 1] for curve in self.curves])),
            float(np.mean([curve[-1, 1] for curve in self.curves])),
        )

    @property
    def converged(self) -> bool:
        """Whether the row is shown to have converged, or trains nothing."""
        return self.convergence is None or self.convergence.is_shown


def counted(rows: Iterable[Row]) -> str:
    """Return what trained rows count: seeds, orders of examples, or "seeds or orders of examples" if they differ."""
    return " or ".join(sorted({row.counted for row in rows if row.seeds}, reverse=True)) or "seeds"


def label(name: str) -> str:
    """Return a row's printed name: 'floor: blind, train.steps=400' for 'blind, train.steps=400'."""
    bridge, *levels = name.split(", ")
    return ", ".join([LABELS.get(bridge, bridge), *levels])


def short_label(label: str) -> str:
    """Return a row's label with only the last part of each swept key: `budget.tokens=4` becomes `tokens=4`."""
    return re.sub(r"[\w.]*\.(\w+=)", r"\1", label)


def by_role(study: Study) -> list[str]:
    """Return a study's rows in the order of the sweep: bridges, then floors, then ceilings."""
    roles = list(ROLES)
    return sorted(study.bridges, key=lambda name: roles.index(study.of(name)[0].sees))
