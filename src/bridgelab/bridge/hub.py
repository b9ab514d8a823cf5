"""Read a bridge from a repository of the Hugging Face hub: `hf://ORG/NAME`, or `hf://ORG/NAME@REVISION`.

    README.md           the model card
    config.json         `HubConfig`: class and choices of the bridge, and the backbones that it was trained between
    model.safetensors   the trained weights of a `BridgedModel`: the bridge, and its blocks or adapter if it has any

`bridgelab push` writes a repository. huggingface_hub's `PyTorchModelHubMixin` does not fit: it builds the class before
anything can be compared, falls back to a pickle, ignores missing weights, and tries again and again without a network.
Bridges would also have to inherit from it, which a user's own bridge does not.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from bridgelab.bridge.hub_config import HubConfig
from bridgelab.bridge.hub_repository import CONFIG, SCHEME, repository, repository_files
from bridgelab.bridge.weights import read_weights
from bridgelab.runs.insert import insert_of
from bridgelab.runs.record_schema import checked, read_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubBridge:
    """A bridge as a repository holds it.

    Args:
        source: `hf://ORG/NAME@COMMIT`.
        config: content of its `config.json`.
        tensors: content of its `model.safetensors`, by the names of `BridgedModel.state_dict()`.
    """

    source: str
    config: HubConfig
    tensors: Mapping[str, Tensor]

    def check_config(self, config: DictConfig) -> None:
        """Check that a run's config names the repository's kind of bridge, blocks and adapter. No weights are needed.

        Raises:
            ValueError: with the first key that differs.
        """
        theirs = self.config.run_keys()
        own = {key: _at(config, key) for key in theirs} | {"model.insert": insert_of(config)}
        self._compare(own, theirs, "weights fit their own bridge alone")

    def check_backbones(self, dims: Mapping[str, int], fingerprints: Mapping[str, str]) -> None:
        """Check that the repository's backbones are those of a run: `vision` and `text`.

        Args:
            dims: their widths.
            fingerprints: hashes of their weights and settings.
        Raises:
            ValueError: with the first that differs.
        """
        theirs = {"vision": self.config.vision_dim, "text": self.config.text_dim}
        for side, dim in dims.items():
            rule = "a bridge fits the models it was trained between alone"
            fix = f"Set {side}=NAME to {self._named(side)}."
            if dim != theirs[side]:
                raise ValueError(
                    f"{self.source} was trained with a {side} side of width {theirs[side]}, and {side} has {dim} here: {rule}. {fix}"
                )
            if fingerprints[side] != self.config.fingerprints.get(side):
                raise ValueError(
                    f"{self.source} was trained with the {side} side {self.config.fingerprints.get(side)}, and {side} is "
                    f"{fingerprints[side]} here: {rule}. {fix}"
                )

    def check_choices(self, choices: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Check that a bridge is built with the repository's choices.

        Args:
            choices: keyword arguments of its class.
            defaults: the values of keyword arguments that are not given.
        Raises:
            ValueError: with the first choice that differs.
        """
        own = {f"bridge.{key}": _plain(value) for key, value in {**defaults, **choices}.items()}
        theirs = {
            f"bridge.{key}": _plain(value) for key, value in {**defaults, **self.config.choices}.items()
        }
        self._compare(own, theirs, "weights fit the choices that they were trained with alone")

    def _compare(self, own: Mapping[str, Any], theirs: Mapping[str, Any], rule: str) -> None:
        for key in {**theirs, **own}:
            if own.get(key) != theirs.get(key):
                raise ValueError(
                    f"{self.source} was trained with {key}={_shown(theirs.get(key))}, and {key}={_shown(own.get(key))} here: "
                    f"{rule}. Set {key}={_shown(theirs.get(key))}, or leave bridge.init_from out."
                )

    def _named(self, side: str) -> str:
        group = self.config.groups.get(side, {})
        return (
            " ".join(str(group[key]) for key in ("path", "weights", "pretrained") if group.get(key)) or "it"
        )


def read_hub_bridge(source: str) -> HubBridge:
    """Download a bridge, or find it in the hub's cache. No code of the repository is run, and no pickle is read.

    A commit that is in the cache is read without the network.

    Raises:
        ConnectionError: if the hub can't be reached.
        OSError: if there is no such repository or revision, or it may not be read.
        ValueError: if it holds no bridge of bridgelab's, or is malformed.
    """
    name, revision = repository(source)
    config_file, weights = repository_files(name, revision)
    fix = "Choose a repository that 'bridgelab push' wrote."
    content = read_json(config_file, fix, follow=True)
    if "${" in json.dumps(content):  # OmegaConf would resolve it, and with it read the environment
        raise ValueError(
            f"{source}: its {CONFIG} holds an interpolation, ${{…}}: only plain values are read. {fix}"
        )
    config = checked(config_file, content, HubConfig, fix)
    if revision is None:
        log.info(
            "%s is at %s: write %s%s@REVISION to keep it there", source, weights.parent.name, SCHEME, name
        )
    return HubBridge(f"{SCHEME}{name}@{weights.parent.name}", config, read_weights(weights))


def _at(config: DictConfig, key: str) -> Any:
    """Return the plain value at a dotted key; of `text.adapt`, which configs of older runs lack, the value that they mean."""
    value = OmegaConf.select(config, key, default="none" if key == "text.adapt" else None)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
