"""Check the file of `bridge.init_from` as far as its header goes, before torch and models are imported. Free of torch.

Whether all tensors fit is checked when they are loaded (`bridge.weights`). What is found here costs a fraction of a second.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open

from bridgelab.runs.identity import read_keys
from bridgelab.runs.insert import insert_of
from bridgelab.runs.record_schema import read_config

QFORMER = "bridgelab.bridge.qformer.QFormer"
OURS = "bridgelab.bridge."
METADATA = "bridgelab"  # key of what 'bridgelab convert' writes into a file's metadata
# Tensors of BLIP-2's first stage (`bridgelab align`) that the second does not use, besides the text FFNs.
TEXT_SIDE = (
    "word_embeddings.", "position_embeddings.", "vision_proj.", "text_proj.", "itm_head.", "lm_head.", "temp",
)  # fmt: skip
PACKAGED_READERS = "miniature"  # names of the readers that come with the package begin so


@dataclass(frozen=True)
class Header:
    """The shapes of a safetensors file's tensors by name, and its metadata."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


def read_header(path: str | Path) -> Header | None:
    """Return a file's header; None if it is not safetensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not complete.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"bridge.init_from={path}: there is no such file. Name a file of weights (.safetensors, .bin, .pt or .pth), or make it first: "
            "'bridgelab align' writes first stages, 'bridgelab convert' published weights."
        )
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return Header(shapes, dict(file.metadata() or {}))
    except SafetensorError as error:
        raise ValueError(incomplete(path, error)) from error


def incomplete(path: str | Path, error: SafetensorError) -> str:
    """Return the message on a safetensors file that can't be read."""
    return f"{path} is not a complete safetensors file ({error}). Download or write it again."


def check_initial_file(config: DictConfig) -> None:
    """Check that a run can begin with a file: it is of the run's kind of bridge, and of its language model.

    Args:
        config: of a run whose `bridge.init_from` is a path.
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another bridge or language model, or would be evaluated as the publication does not use it.
    """
    path, target = Path(config.bridge.init_from), str(config.bridge._target_)
    header = read_header(path)
    if header is None:
        _check_run(path, config)
        return
    if header.metadata.get("stage") == "alignment":
        _check_unshaped(path, config)
    if METADATA in header.metadata and config.train.steps == 0:
        raise ValueError(
            f"train.steps=0 with bridge.init_from={path}, which 'bridgelab convert' wrote: a run scales tokens, and the "
            "publication does not, so this would not be its accuracy. Use 'bridgelab evaluate --bridge "
            f"{path}', or set train.steps."
        )
    is_qformers = "query_tokens" in header.shapes
    if target.startswith(OURS) and is_qformers != (target == QFORMER):
        what = "the first stage of " if any(name.startswith(TEXT_SIDE) for name in header.shapes) else ""
        holds = (
            f"{what}a Q-Former"
            if is_qformers
            else f"no Q-Former (its first tensor is {min(header.shapes, default='none')})"
        )
        fix = "Set bridge=qformer" if is_qformers else "Choose the bridge that it was trained for"
        raise ValueError(
            f"bridge.init_from={path} holds {holds}, and bridge._target_={target} here: weights fit their own bridge alone. {fix}, or "
            "bridge.init_from=null."
        )
    if is_qformers and config.budget.tokens is None and config.budget.params is None:
        shape = header.shapes["query_tokens"]
        own = (1, config.bridge.get("num_queries"), config.bridge.get("width"))
        if None not in own and shape != own:
            raise ValueError(
                f"bridge.init_from={path}: query_tokens have another shape; query_tokens is {shape}, here {own}. Give the bridge the "
                "choices of the run that made the weights, or choose weights of this bridge."
            )


def check_first_stage_file(config: DictConfig) -> None:
    """Check that an alignment can begin with the file of its `bridge.init_from`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of no first stage, of a published one, or of one with another `embed_dim`.
    """
    path = Path(config.bridge.init_from)
    header = read_header(path)
    if header is None or header.metadata.get("stage") == "alignment":
        _check_unshaped(path, config)
    if header is None:
        return
    if not any(name.startswith(TEXT_SIDE) for name in header.shapes):
        raise ValueError(no_first_stage(path, min(header.shapes, default="none")))
    if METADATA in header.metadata:
        raise ValueError(
            f"bridge.init_from={path} is a published first stage, which reads BERT's words: a first stage here reads those of the T5 that "
            "text names. Begin the second stage with it, by the 'bridgelab train' line that 'bridgelab convert' printed, or set it to null."
        )
    rows = header.shapes.get("vision_proj.weight", (config.embed_dim,))[0]
    if rows != config.embed_dim:
        raise ValueError(
            f"bridge.init_from={path} was trained with embed_dim={rows}, and embed_dim={config.embed_dim} here. Set embed_dim={rows}, or "
            "bridge.init_from=null."
        )


def no_first_stage(path: str | Path, first: str) -> str:
    """Return the message on a file without the text side, with the name of its first tensor."""
    return (
        f"bridge.init_from={path} has no text side (its first tensor is {first}): a first stage begins from weights of a first stage. "
        "Name those of 'bridgelab align', or set it to null."
    )


def _config_beside(path: Path) -> DictConfig | None:
    """Return the config of the run that wrote a file; None if none lies beside it."""
    if not (path.parent / "config.yaml").is_file():
        return None
    trained = read_config(path.parent)
    return trained if "bridge" in trained and "text" in trained else None


def _check_unshaped(path: Path, config: DictConfig) -> None:
    """Check the choices that change what the weights compute but show in neither tensor names nor shapes, such as `num_heads`."""
    trained = _config_beside(path)
    if trained is None:
        return
    theirs, own = _unshaped(trained), _unshaped(config)
    for key, value in theirs.items():
        if key in own and own[key] != value:
            there, here = (json.dumps(one).replace('"', "") for one in (value, own[key]))
            raise ValueError(
                f"bridge.init_from={path} was trained with {key}={there}, and {key}={here} here: its weights may fit both, and would "
                f"compute something else. Set {key}={there}, or bridge.init_from=null."
            )


def _unshaped(config: DictConfig) -> dict[str, Any]:
    """Return the choices that shapes do not tell, by key. With the number of heads, shapes tell the heads' width and number of keys."""
    heads = config.bridge.get("num_heads")
    keys = ({} if heads is None else {"bridge.num_heads": heads}) | read_keys(config)
    return {key: sorted(value) if isinstance(value, list) else value for key, value in keys.items()}


def _check_run(path: Path, config: DictConfig) -> None:
    """Check a run's checkpoint by the config that lies beside it, if one does."""
    trained = _config_beside(path)
    if trained is None:
        return
    target, own = str(trained.bridge.get("_target_")), str(config.bridge._target_)
    if target != own:
        raise ValueError(
            f"bridge.init_from={path} is of a run with bridge._target_={target}, and it is {own} here: weights fit their own bridge alone. "
            "Choose that bridge, or bridge.init_from=null."
        )
    reader, here = (str(one.text.get("path")) for one in (trained, config))
    is_alignment = "model" not in trained  # which reads the tokenizer alone
    inserts = [insert_of(one) for one in (trained, config) if "model" in one]
    if len(set(inserts)) > 1:
        there, own_insert = inserts
        raise ValueError(
            f"bridge.init_from={path} is of a run with model.insert={there}, and it is {own_insert} here: a run goes on from all that "
            f"another has trained, at the place where its tokens entered the T5. Set model.insert={there}, or bridge.init_from=null."
        )
    _check_unshaped(path, config)
    both_packaged = reader.startswith(PACKAGED_READERS) and here.startswith(PACKAGED_READERS)
    if not is_alignment and reader != here and both_packaged:
        raise ValueError(
            f"bridge.init_from={path} was trained for the language model {reader}, and text is {here} here: a bridge's tokens fit the "
            f"model that they were trained for. Set text={reader}, or begin from weights of 'bridgelab align', which were trained "
            "without a language model."
        )
