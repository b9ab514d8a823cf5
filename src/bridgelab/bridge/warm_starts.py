"""Warm starts: trained bridges that come with the package, from which `bridge.init_from=warm` starts.

As a study between published models starts from published connectors, a study of the miniature may start from bridges that were
trained from scratch, all by one recipe. A warm start fits the bridge, the backbones and the seed that it was trained with alone.
`bridgelab warm-starts` makes them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bridgelab.bridge.hub import HubBridge
from bridgelab.bridge.hub_config import HubConfig
from bridgelab.bridge.weights import read_weights
from bridgelab.runs.record_schema import checked, read_json

FIX = "Restore that file, or make the warm starts again: bridgelab warm-starts STUDY_DIR"


class WarmStartCard(HubConfig):
    """The card of a warm start: what a hub repository's `config.json` says, its seed, and its training.

    Attributes:
        seed: of its init.
        tokens: that it outputs.
        sha256: of its file of weights.
        recipe: groups of the run's config.
        record: what the run's record says of its training.
    """

    seed: int
    tokens: int
    sha256: str
    recipe: dict[str, Any]
    record: dict[str, Any]

    def traits(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run must share with this warm start to start from it.

        Args:
            defaults: of keyword arguments of the bridge's class that are not given.
        """
        return {
            **self.run_keys(),
            "the language model": self.fingerprints.get("text"),
            "the vision encoder": self.fingerprints.get("vision"),
            **bridge_traits({**defaults, **self.choices}),
            "seed": self.seed,
        }


def bridge_traits(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bridge's keyword arguments by their keys in a config."""
    return {
        f"bridge.{key}": list(value) if isinstance(value, tuple) else value for key, value in choices.items()
    }


def read_cards(folder: Path) -> dict[Path, WarmStartCard]:
    """Return the cards of the warm starts in a folder, by path.

    Raises:
        Malformed: if one is not a card.
    """
    paths = sorted(folder.glob("*.json"))
    return {path: checked(path, read_json(path, FIX, follow=True), WarmStartCard, FIX) for path in paths}


def find_warm_start(folder: Path, traits: Mapping[str, Any], defaults: Mapping[str, Any]) -> HubBridge:
    """Return the warm start that a run starts from.

    Args:
        folder: of the warm starts for its language model.
        traits: of the run, by the keys of `WarmStartCard.traits`; the first one that no warm start shares is named.
        defaults: of keyword arguments of the bridge's class that are not given.
    Raises:
        ValueError: if there is none that fits, with what there is; or if its weights are not those of its card.
    """
    cards = read_cards(folder)
    otherwise = "or set bridge.init_from=null to train from scratch"
    if not cards:
        raise ValueError(
            f"bridge.init_from=warm: there are no warm starts for the language model {folder.name}. Choose text among "
            f"{_texts(folder)}, {otherwise}."
        )
    fitting = {path: card.traits(defaults) for path, card in cards.items()}
    bridge = ""
    for key, value in traits.items():
        there = sorted({str(one.get(key)) for one in fitting.values()})
        fitting = {path: one for path, one in fitting.items() if one.get(key) == value}
        if not fitting:
            raise ValueError(
                f"bridge.init_from=warm: no warm start{bridge} for {folder.name} has {key}={value}; there is {key}={', '.join(there)}. "
                f"Take one of these, {otherwise}."
            )
        bridge = bridge or f" of {str(value).rpartition('.')[2]}"
    path = next(iter(fitting))
    return _read(path, cards[path])


def _read(path: Path, card: WarmStartCard) -> HubBridge:
    """Return a warm start with its weights in float32; on disk its matrices are in bfloat16."""
    weights = path.with_suffix(".safetensors")
    if not weights.exists() or hashlib.sha256(weights.read_bytes()).hexdigest() != card.sha256:
        raise ValueError(
            f"{weights} does not hold the weights that {path.name} describes (sha256 {card.sha256[:12]}…). {FIX}"
        )
    tensors = {
        name: value.to(torch.float32) if value.is_floating_point() else value
        for name, value in read_weights(weights).items()
    }
    return HubBridge(f"warm:{path.parent.name}/{path.stem}@{card.sha256[:12]}", card, tensors)


def _texts(folder: Path) -> str:
    return ", ".join(sorted({path.parent.name for path in folder.parent.glob("*/*.json")})) or "none"
