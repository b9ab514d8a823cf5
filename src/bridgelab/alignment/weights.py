"""Weights of the first stage in a file: the Q-Former's by the names it has in the second stage, and those of its text side."""

from pathlib import Path

from torch import Tensor

from bridgelab.alignment.model import Alignment
from bridgelab.bridge.init_from import TEXT_SIDE, no_first_stage
from bridgelab.bridge.weights import join_names, read_origin, read_weights

BRIDGE, SECOND_STAGE, BUFFERS = "bridge.", "language_projection.", ("mean", "std")
LOG_TEMP, TEMP = "log_temp", "temp"  # the file holds the temperature itself, as LAVIS's checkpoints do


def weights_of(model: Alignment) -> dict[str, Tensor]:
    """Return all weights that the first stage trains, by the names that a file has."""
    named = {_name(name): value for name, value in model.state_dict().items() if name not in BUFFERS}
    named[TEMP] = named.pop(LOG_TEMP).exp()
    return {name: value for name, value in named.items() if not name.startswith(SECOND_STAGE)}


def begin_from(model: Alignment, path: str | Path, tokenizer: str) -> None:
    """Load weights of a first stage.

    Args:
        model: changed in place.
        path: of the file, `bridge.init_from`.
        tokenizer: fingerprint of the tokenizer whose words the model reads.
    Raises:
        ValueError: if the file holds no first stage, or one of other sizes or another tokenizer.
    """
    tensors, own = read_weights(path), weights_of(model)
    trained = read_origin(path).get("tokenizer", tokenizer)
    if trained != tokenizer:  # of as many words, maybe, and then each embedding would stand for another word
        raise ValueError(
            f"bridge.init_from={path} was trained with the words of the tokenizer {trained}, and text has {tokenizer} here. Set text to "
            "the one that it was trained with, or bridge.init_from=null."
        )
    if not any(name.startswith(TEXT_SIDE) for name in tensors):
        raise ValueError(no_first_stage(path, next(iter(tensors), "none")))
    for names, problem in (
        ([name for name in own if name not in tensors], "are missing, here"),
        ([name for name in tensors if name not in own], "are unknown,"),
        ([n for n in own if n in tensors and own[n].shape != tensors[n].shape], "have another shape,"),
    ):
        if names:
            shapes = [f" {tuple(x[names[0]].shape)}" for x in (tensors, own) if names[0] in x]
            raise ValueError(
                f"bridge.init_from={path}: {join_names(names)} {problem}{', here'.join(shapes)}. Give bridge, embed_dim, vision, text "
                "and data.max_length as they were where the weights were trained."
            )
    state = {name: tensors[_name(name)] for name in model.state_dict() if _name(name) in tensors}
    model.load_state_dict(state | {LOG_TEMP: tensors[TEMP].log()}, strict=False)


def _name(name: str) -> str:
    return name.removeprefix(BRIDGE)
