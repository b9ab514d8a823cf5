"""Read a bridge's weights from a file, write them, and load them into a bridge."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bridgelab.atomic import atomic_path
from bridgelab.bridge.init_from import TEXT_SIDE, incomplete

# Tensors that may keep their initial values, since they meet this T5 or this ViT.
OPTIONAL = ("text_projection.", "language_projection.")
_RUN, _RUNS_BRIDGE = "model.", "model.bridge."  # names in a run's last.ckpt begin so
_DEPENDS_ON_VISION_DIM = re.compile(r"ln_vision\.|.*crossattention\.attention\.(key|value)\.weight")


def is_state_dict(content: object) -> bool:
    """Return whether the content of a file of weights is tensors by name. Another's file may hold any plain values."""
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return all tensors of a file: safetensors, or PyTorch's format without anything that could run code.

    Of a run's `last.ckpt`, return the bridge's tensors, and of one of `bridgelab align` those of its text side too.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file. Name one file of weights (.safetensors, .bin, .pt or .pth)."
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(incomplete(path, error)) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch passes on pickle's and zip's errors, and has its own
        raise ValueError(
            f"{path} could not be read as weights only ({type(error).__name__}). A file that needs code to run is not "
            "loaded: save its tensors as safetensors."
        ) from error
    for name in ("state_dict", "model"):  # LAVIS and OpenFlamingo wrap their tensors
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not is_state_dict(content):
        raise ValueError(f"{path} holds no tensors by name. Save the model's state_dict.")
    if f"{_RUN}scale" in content or any(name.startswith(_RUNS_BRIDGE) for name in content):
        return _of_run(content)  # words have no weights of their own, and LoRA may be trained beside them
    return {name.removeprefix("module."): value for name, value in content.items()}


def _of_run(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of a run's checkpoint under the names that a file of weights has."""
    tensors = {n.removeprefix(_RUNS_BRIDGE): v for n, v in state.items() if n.startswith(_RUNS_BRIDGE)}
    if f"{_RUN}log_temp" not in state:
        return tensors
    text_side = {n.removeprefix(_RUN): v for n, v in state.items() if n.startswith(_RUN)}
    tensors |= {n: v for n, v in text_side.items() if n.startswith(TEXT_SIDE)}
    tensors["temp"] = state[f"{_RUN}log_temp"].exp()
    return {n: v for n, v in tensors.items() if not n.startswith("language_projection.")}


def read_origin(path: str | Path) -> dict[str, str]:
    """Return what a file of weights says of the training that made it, such as the fingerprints of its backbones.

    Empty for a file that says nothing, as those of `bridgelab convert`.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    content = torch.load(path, map_location="cpu", weights_only=True)
    identity = content.get("identity") if isinstance(content, dict) else None
    return {str(k): str(v) for k, v in identity.items()} if isinstance(identity, dict) else {}


def read_initial(
    path: str | Path, fingerprints: Mapping[str, str], log: Callable[[str], None]
) -> dict[str, Tensor]:
    """Return the tensors that a bridge begins with.

    Args:
        path: of the file, `bridge.init_from`.
        fingerprints: of the backbones that it is put between, by name.
        log: called with a line if the file was trained with another vision encoder.
    Raises:
        ValueError: if it was trained for another language model; also as `read_weights`.
    """
    tensors, origin = read_weights(path), read_origin(path)
    vision, text = (fingerprints.get(name) for name in ("vision", "text"))
    if text and origin.get("text", text) != text:
        raise ValueError(
            f"bridge.init_from={path} was trained for the language model {origin['text']}, and text is {text} here: a bridge's "
            "tokens fit the model that they were trained for. Set text to that model, or begin from weights of "
            "'bridgelab align', which were trained without a language model."
        )
    if vision and origin.get("vision", vision) != vision:
        log(
            f"bridge.init_from={path} was trained with the vision encoder {origin['vision']}, and vision is {vision} here: only the "
            "bridge's own weights are taken, with moments and scale of this run's data"
        )
    return tensors


def is_first_stage(path: str | Path) -> bool:
    """Return whether `bridgelab align` wrote a file, be it weights or a checkpoint: its bridge reads standardized patches."""
    if Path(path).suffix == ".safetensors":
        return read_origin(path).get("stage") == "alignment"
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict") if isinstance(content, dict) else None
    return isinstance(state, dict) and f"{_RUN}log_temp" in state


def read_run_extras(path: str | Path, fingerprints: Mapping[str, str]) -> dict[str, Tensor] | None:
    """Return what a run's checkpoint holds beside its bridge: moments, scale, positions, blocks and adapter, by `BridgedModel`'s names.

    None for any other file of weights, and for a checkpoint of `bridgelab align`: they hold a bridge alone, which has met no T5. None as
    well if the run had another vision encoder, whose moments and scale mean nothing here.

    Args:
        path: of the file, `bridge.init_from`.
        fingerprints: of the backbones that it is put between, by name.
    """
    if Path(path).suffix == ".safetensors":
        return None
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or f"{_RUN}scale" not in state:
        return None
    vision, identity = fingerprints.get("vision"), content.get("identity")
    if vision and isinstance(identity, dict) and identity.get("vision", vision) != vision:
        return None
    return {
        n.removeprefix(_RUN): v
        for n, v in state.items()
        if n.startswith(_RUN) and not n.startswith(_RUNS_BRIDGE)
    }


def load_run_extras(
    model: nn.Module, state: Mapping[str, Tensor], extras: Mapping[str, Tensor], log: Callable[[str], None]
) -> list[str]:
    """Load into a model what `read_run_extras` returned, so that it begins with the function that the run ended with.

    Args:
        model: the bridge between its backbones, the bridge's own weights loaded.
        state: its `trained_state`.
        extras: tensors by name.
        log: called with a line on what the run lacks.
    Returns:
        The names of tensors that the run lacks, which keep their initial values.
    Raises:
        ValueError: if the run trained a part that the model lacks, or has in another shape.
    """
    misfits = [
        name for name, value in extras.items() if name not in state or state[name].shape != value.shape
    ]
    if misfits:
        here = state.get(misfits[0])
        raise ValueError(
            f"{join_names(misfits)} of the run that bridge.init_from names {'is missing' if here is None else f'is {tuple(here.shape)}'} "
            f"here, and {tuple(extras[misfits[0]].shape)} there: a run goes on from all that another has trained. Set "
            "model.positions, model.insert and text.adapt as they were there, and take data of as many images per example."
        )
    missing = [name for name in state if name not in extras and not name.startswith("bridge.")]
    model.load_state_dict(extras, strict=False)
    if missing:
        log(f"not in the weights: {join_names(missing)} keep their initial values")
    return missing


def write_weights(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, partial, dict(metadata or {})
        )
        partial.chmod(0o644)  # safetensors makes files readable for their owner only


def load_weights(
    bridge: nn.Module, tensors: Mapping[str, Tensor], log: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Load weights into a bridge.

    The text side of BLIP-2's first stage is left out, except for text FFNs that the bridge has.
    A Q-Former of another vision width keeps the initial values of what meets the patches: cross-attention's keys and
    values, and the norm before them.

    Args:
        bridge: the bridge to load into.
        tensors: weights by this package's names.
        log: called with a line about each group of tensors that is not loaded.
    Returns:
        The names of the bridge's tensors that keep their initial values.
    Raises:
        ValueError: naming the tensors that do not fit.
    """
    state = bridge.state_dict()
    if any(name.startswith(TEXT_SIDE) for name in tensors):
        first_stage, tensors = tensors, _without_text_side(tensors, state)
        log(
            f"weights of the first stage: {len(first_stage) - len(tensors)} tensors of its text side are left out"
        )
    unknown = [name for name in tensors if name not in state]
    missing = [name for name in state if name not in tensors]
    required = [name for name in missing if not name.startswith(OPTIONAL)]
    resized = [name for name in tensors if name in state and tensors[name].shape != state[name].shape]
    misfits = [name for name in resized if not _DEPENDS_ON_VISION_DIM.match(name)]
    for names, problem in (
        (unknown, "are not in this bridge"),
        (required, "are missing"),
        (misfits, "have another shape"),
    ):
        if names:
            shapes = "".join(
                f"; {n} is {tuple(tensors[n].shape)}, here {tuple(state[n].shape)}"
                for n in names[:1]
                if n in misfits
            )
            raise ValueError(
                f"{join_names(names)} {problem}{shapes}. Give the bridge the choices of the run that made the weights, or choose "
                "weights of this bridge."
            )
    bridge.load_state_dict({name: tensors[name] for name in tensors if name not in resized}, strict=False)
    if resized:
        log(f"the vision width differs: {join_names(resized)} keep their initial values")
    if missing:
        log(f"not in the weights: {join_names(missing)} keep their initial values")
    return [*missing, *resized]


def _without_text_side(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in tensors.items()
        if name in state or not (name.startswith(TEXT_SIDE) or ".ffn_text." in name)
    }


def join_names(names: list[str]) -> str:
    """Return the names separated by commas, at most four of them."""
    text = ", ".join(names[:4])
    return f"{text} and {len(names) - 4} more" if len(names) > 4 else text
