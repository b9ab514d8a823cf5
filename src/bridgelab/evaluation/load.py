"""Load a run's trained bridge between the frozen backbones that it was trained with."""

import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.backbones import Backbones
from bridgelab.bridge.weights import is_state_dict
from bridgelab.config.instantiate import is_own, target
from bridgelab.model import BridgedModel, is_frozen
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.record_schema import read_config, read_record, regular

MODEL = "model."
# The groups of a run's config that are built to load the run.
BUILT = ("bridge", "vision", "text", "benchmark")
NEEDED = (
    *(f"{slot}._target_" for slot in BUILT), "seed", "train.precision", "budget.tokens", "budget.params", "model.insert",
    "model.positions",
)  # fmt: skip
ABSENT = object()
MAX_MESSAGE = 300  # characters of a library's message


def trains_nothing(run: Path) -> bool:
    """Return whether a finished run trained nothing: with plain words, the frozen T5 answers alone."""
    if not is_finished(run):
        return False
    return not read_record(run, ("costs",))["costs"].get("trainable_parameters", 1)


def refuse_foreign(config: DictConfig, source: object) -> None:
    """Refuse code from outside this package and its libraries before it is imported, because importing runs it.

    Args:
        config: what names classes.
        source: the file that it was read from, for the message.
    Raises:
        ValueError: if the config names such code.
    """
    for slot in BUILT:
        if is_own(config[slot], slot):
            raise ValueError(
                f"{source}: {slot}._target_={config[slot]._target_} is code from outside bridgelab, which "
                "reading this run would execute. If you trust its author, add --trust, or trust=True in Python."
            )


def _look_above(run: Path, module: str) -> None:
    """Let a user's own module be imported from a folder above the run: where it was trained, `runs/` lies beside the file."""
    for folder in run.resolve().parents:
        if (folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


def _checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's tensors and names; refuse a pickle that holds anything else.

    Raises:
        ValueError: if the file is not a run's checkpoint.
    """
    file = regular(path)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of a file that is no pickle, whatever its bytes make torch do
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_MESSAGE]
        raise ValueError(
            f"{path} can't be read as a checkpoint of tensors alone ({problem}). Restore the file, or train the run again."
        ) from error
    if not (
        isinstance(checkpoint, dict)
        and isinstance(checkpoint.get("identity"), dict)
        and is_state_dict(checkpoint.get("state_dict"))
    ):
        raise ValueError(
            f"{path} has no identity and no state_dict of tensors by name: it is not a run's last.ckpt. Give a folder of runs/<study>/."
        )
    return checkpoint


def load_trained(
    run: Path, device: Any = "cpu", *, trust: bool = False
) -> tuple[DictConfig, Backbones, BridgedModel]:
    """Return the config, the backbones and the trained model of a run, ready to answer.

    Args:
        run: a run's folder, with its `config.yaml` and `last.ckpt`; if nothing was trained, with `metrics.json`.
        device: where the model goes.
        trust: import code that the config names from outside this package, such as a user's own bridge, from the working
            folder or a folder above the run.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the checkpoint was trained between other backbones than those found here, or the config names code that is
            not trusted.
    """
    untrained = trains_nothing(run)
    config = _trained_config(run, RECORD if untrained else "last.ckpt", trust=trust)
    if untrained:
        checkpoint = {"identity": read_record(run, ("fingerprints",))["fingerprints"]}
    else:
        checkpoint = _checkpoint(run / "last.ckpt")
    backbones = Backbones(config, device)
    for name, fingerprint in backbones.fingerprints.items():
        trained = checkpoint["identity"].get(name)
        if trained != fingerprint:
            raise ValueError(
                f"{run} was trained with the {name} side {trained}, and {name}={config[name]} is {fingerprint} here: a bridge fits "
                "the models it was trained between alone. Restore those weights, or train again."
            )
    model = (
        backbones.model(config.seed)
        if untrained
        else _trained_model(run, config, backbones, checkpoint["state_dict"])
    )
    return config, backbones, model.eval()


def _trained_config(run: Path, needed: str, *, trust: bool) -> DictConfig:
    """Read a run's config, after checking that its files are there and its code is trusted."""
    for name in ("config.yaml", needed):
        if not (run / name).exists():
            raise FileNotFoundError(
                f"{run} has no {name}: a trained run has config.yaml and last.ckpt. Give a folder of runs/<study>/ whose "
                "bridge trains something."
            )
    config = read_config(run)
    if absent := [key for key in NEEDED if OmegaConf.select(config, key, default=ABSENT) is ABSENT]:
        raise ValueError(
            f"{run / 'config.yaml'} lacks {', '.join(absent)}: it is no run's. Give a folder of runs/<study>/."
        )
    if trust:
        for slot in BUILT:
            if is_own(config[slot], slot):
                _look_above(run, str(config[slot]._target_).partition(".")[0])
    else:
        refuse_foreign(config, run / "config.yaml")
    target(config.bridge, "bridge")  # fails before anything large is read
    config.bridge.init_from = None  # its initial weights may be gone, and are replaced anyway
    return config


def _trained_model(
    run: Path, config: DictConfig, backbones: Backbones, state: dict[str, torch.Tensor]
) -> BridgedModel:
    """Build the bridge between the backbones, and load a checkpoint's weights into it."""
    weights = {name.removeprefix(MODEL): value for name, value in state.items() if not is_frozen(name)}
    moments = {
        name: weights[name] for name in ("mean", "std") if name in weights and weights[name].numel() > 1
    }
    positions = weights.get("positions")
    images = 1 if positions is None or not positions.ndim else len(positions) // backbones.patches(1)
    model = backbones.model(config.seed, images=images, **moments)
    model.load_trained(weights, run / "last.ckpt")
    return model
