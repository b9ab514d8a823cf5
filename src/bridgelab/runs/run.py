"""One finished run of a study."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.printable import printable
from bridgelab.runs.predictions import read_rows
from bridgelab.runs.run_name import overrides


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no truth value
class Run:
    """One finished run: its folder, and `metrics.json` as read.

    Args:
        path: its folder.
        record: what its `metrics.json` holds.
        levels: values of the factors that its study varies apart from bridges and seeds, by name.
        scores: scores between 0 and 1 by view [example of the study]; nan for an example that the run did not answer.
    """

    path: Path
    record: dict[str, Any]
    levels: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def predictions(self) -> pd.DataFrame:
        """Predictions with all columns, one row per example and view. Reading them again each time keeps memory free."""
        return read_rows(self.path)

    @cached_property
    def bridge(self) -> str:
        return printable(str(self.record["bridge"]))

    @cached_property
    def row(self) -> str:
        """The name of its row in a table: the bridge and the levels."""
        return ", ".join([self.bridge, *(f"{name}={level}" for name, level in self.levels.items() if level)])

    @cached_property
    def sees(self) -> str:
        return str(self.record.get("sees", "image"))

    @cached_property
    def curve_of(self) -> str:
        """The metric of its learning curve and its budgets: "accuracy", or with captions alone "token probability"."""
        return str(self.record.get("curve_of", "accuracy"))

    @cached_property
    def seed(self) -> int:
        return int(self.record["seed"])

    @cached_property
    def data_seed(self) -> int:
        return int(self.record.get("data_seed", 0))

    @cached_property
    def trains(self) -> bool:
        """Whether anything was trained. Plain words, the frozen T5 alone, is not."""
        return int(self.record["costs"].get("trainable_parameters", 1)) > 0

    @cached_property
    def adapter_parameters(self) -> int:
        """Trained parameters of the language side; 0 if it is frozen."""
        return int(self.record["costs"].get("adapter_parameters", 0))

    @cached_property
    def bridge_parameters(self) -> int | None:
        """Trained parameters of the bridge alone; None if the record lacks them."""
        trained = self.record["costs"].get("trainable_parameters")
        return None if trained is None else int(trained) - self.adapter_parameters

    @cached_property
    def name(self) -> str:
        return printable(
            str(self.record.get("overrides") or os.fsencode(self.path.name).decode(errors="replace"))
        )

    @cached_property
    def overrides(self) -> dict[str, str]:
        """Keys and values in its name."""
        return overrides(self.name)


def averages_seeds(runs: Sequence[Run]) -> bool:
    """Return whether runs of one row are averaged over seeds where rows are compared: each of several orders of examples has several.

    Then orders (`data_seed`) are counted, and not seeds.
    """
    return 1 < len({run.data_seed for run in runs}) < len(runs)
