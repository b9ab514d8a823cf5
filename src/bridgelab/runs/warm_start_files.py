"""Where warm starts lie in the package: `assets/warm/TEXT/NAME.safetensors`, each with its card `NAME.json`. Free of torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WARM = "warm"  # the value of `bridge.init_from` that chooses the warm start of a run's bridge and seed
BLIND = "bridgelab.bridge.blind.Blind"
SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "warm"


def starts_warm(config: Mapping[Any, Any]) -> bool:
    """Return whether a run starts from a warm start.

    The blind floor never does: it sees no image, and learns only how often each answer is right.
    """
    bridge = config.get("bridge")
    return isinstance(bridge, Mapping) and bridge.get("init_from") == WARM and bridge.get("_target_") != BLIND


def warm_start_folder(config: Mapping[Any, Any]) -> Path:
    """Return the folder of the warm starts for a config's language model."""
    return SHIPPED / Path(str(config["text"].get("path", ""))).name


def warm_start_cards(config: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return the content of the cards of all warm starts for a config's language model."""
    return [json.loads(path.read_bytes()) for path in sorted(warm_start_folder(config).glob("*.json"))]


def digest_of_starts(config: Mapping[Any, Any]) -> str | None:
    """Return a hash of the cards of a bridge's warm starts, which name their weights; None for a run that starts from none.

    It is part of a run's identity, so that a run from one release's warm starts is not taken for a run from another's.
    """
    if not starts_warm(config):
        return None
    found = hashlib.sha256()
    for path in sorted(warm_start_folder(config).glob("*.json")):
        content = path.read_bytes()
        if json.loads(content).get("target") == config["bridge"].get("_target_"):
            found.update(content)
    return found.hexdigest()[:16]


def is_in_place(recorded: Any, config: Mapping[Any, Any]) -> bool:
    """Return whether the warm start that a run began with is there with the same weights, for a config's bridge and seed.

    Args:
        recorded: `warm:TEXT/NAME@DIGEST`, as the run's record holds it.
        config: of the run that would begin with it.
    """
    name, _, digest = str(recorded).removeprefix(f"{WARM}:").rpartition("@")
    folder = warm_start_folder(config)
    path = folder / f"{Path(name).name}.json"
    if not digest or Path(name).parent.name != folder.name or not path.is_file():
        return False
    card = json.loads(path.read_bytes())
    own = (config["bridge"].get("_target_"), config["seed"])
    return (card.get("target"), card.get("seed")) == own and str(card.get("sha256")).startswith(digest)
