"""The attempts that a run took: a job that is requeued, or a command that is repeated, goes on from a checkpoint."""

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)
BEFORE = "before"  # stands for all attempts that a checkpoint of an earlier release came from


class Attempts:
    """The attempts at one run: this one, and those that its checkpoints tell of.

    Each has a name, so that it counts once: an attempt may load a checkpoint that it wrote itself, to begin a cool-down from it.

    Args:
        begun: when this attempt began, by the monotonic clock.
        facts: of this attempt: precision, commit and machine.
    """

    def __init__(self, begun: float, facts: Mapping[str, str | None]):
        self.begun, self.facts, self.own = begun, dict(facts), uuid.uuid4().hex
        self.earlier: dict[str, dict[str, Any]] = {}

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each attempt, with the seconds that it took."""
        return {**self.earlier, self.own: self.facts | {"seconds": time.monotonic() - self.begun}}

    def load(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the attempts of a checkpoint, and warn of one that had another precision."""
        for name, one in state.items():
            known = self.earlier.get(name)
            if name == self.own or (known and known["seconds"] >= one["seconds"]):
                continue
            self.earlier[name] = dict(one)
            other, precision = one.get("precision"), self.facts.get("precision")
            if not known and other and other != precision:
                log.warning(
                    "the run was trained in %s so far and goes on in %s, and its record names both: train.precision=auto follows the "
                    "hardware. Resume it on hardware like the first to keep %s",
                    *(other, precision, other),
                )

    def seconds(self) -> float:
        """Return the seconds of all attempts, of earlier ones up to their last checkpoint."""
        return float(sum(one["seconds"] for one in self.state().values()))

    def record_fields(self) -> dict[str, Any]:
        """Return what a record says of several attempts; nothing if there was one, of which the record's other fields tell."""
        if not self.earlier:
            return {}
        attempts = list(self.state().values())

        def distinct(key: str) -> str:
            return ", ".join(dict.fromkeys(str(one[key]) for one in attempts if one.get(key)))

        return {"precision": distinct("precision"), "machine": distinct("machine"), "attempts": attempts}
