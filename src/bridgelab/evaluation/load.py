"""A run's trained bridge, put back between the frozen sides that it was trained between."""

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.backbones import Backbones
from bridgelab.config.instantiate import is_own, target
from bridgelab.model import FROZEN, BridgedModel
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.record_schema import read_config, read_record, regular

MODEL = "model."
BUILT = ("bridge", "vision", "text", "benchmark")  # of a run's config, by whoever reads the run
NEEDED = (
    *(f"{slot}._target_" for slot in BUILT), "seed", "train.precision", "budget.tokens", "budget.params", "model.insert",
    "model.positions",
)  # fmt: skip
lacks = object()
SHOWN = 300  # characters of a library's message


def trains_nothing(run: Path) -> bool:
    """Whether a run's record says that nothing was trained: plain words are the frozen T5 alone."""
    if not is_finished(run):
        return False
    return not read_record(run, ("costs",))["costs"].get("trainable_parameters", 1)


def refuse_foreign(config: DictConfig, run: Path) -> None:
    """Refuse what is of neither this package nor its libraries, before it is imported: an import runs it.

    Raises:
        ValueError: with the name, if the record asks for such code.
    """
    for slot in BUILT:
        if is_own(config[slot], slot):
            raise ValueError(
                f"{run / 'config.yaml'}: {slot}._target_={config[slot]._target_} is code from outside of bridgelab, which to read "
                "this run is to execute. Add --trust if you know whose code that is."
            )


def _look_above(run: Path, module: str) -> None:
    """Let a module of one's own be imported from above its run's folder: where that was trained, `runs/` lies beside the file."""
    for folder in run.resolve().parents:
        if (folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


def _checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and names; a pickle that holds anything else is refused unread."""
    try:
        found = torch.load(regular(path), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of tensors alone ({' '.join(str(error).split())[:SHOWN]})."
        ) from error
    if not (
        isinstance(found, dict)
        and all(isinstance(found.get(key), dict) for key in ("identity", "state_dict"))
    ):
        raise ValueError(
            f"{path} has no identity and state_dict: it is not a run's last.ckpt. Give a folder of runs/<study>/."
        )
    return found


def load_trained(
    run: Path, device: Any = "cpu", *, trust: bool = False
) -> tuple[DictConfig, Backbones, BridgedModel]:
    """The config, the frozen sides and the model of a run, ready to answer.

    Args:
        run: a run's folder, with its `config.yaml` and `last.ckpt`; where nothing was trained, with `metrics.json`.
        device: where the model goes.
        trust: import what the record names from outside of this package, such as a bridge of one's own: it is looked for in the
            working folder and in those above the run.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the checkpoint was trained between other sides than those that the config names here, or the config names
            code that is not trusted.
    """
    untrained = trains_nothing(run)
    for name in ("config.yaml", RECORD if untrained else "last.ckpt"):
        if not (run / name).exists():
            raise FileNotFoundError(
                f"{run} has no {name}: a trained run has config.yaml and last.ckpt. Give a folder of runs/<study>/ whose "
                "bridge trains something."
            )
    config = read_config(run)
    if lacking := [key for key in NEEDED if OmegaConf.select(config, key, default=lacks) is lacks]:
        raise ValueError(
            f"{run / 'config.yaml'} lacks {', '.join(lacking)}: it is no run's. Give a folder of runs/<study>/."
        )
    if trust:
        for slot in BUILT:
            if is_own(config[slot], slot):
                _look_above(run, str(config[slot]._target_).partition(".")[0])
    else:
        refuse_foreign(config, run)
    target(config.bridge, "bridge")  # before anything large is read
    config.bridge.init_from = None  # what it began with may be gone, and counts no more
    if untrained:
        checkpoint = {"identity": read_record(run, ("fingerprints",))["fingerprints"]}
    else:
        checkpoint = _checkpoint(run / "last.ckpt")
    backbones = Backbones(config, device)
    for name, found in backbones.fingerprints.items():
        trained = checkpoint["identity"].get(name)
        if trained != found:
            raise ValueError(
                f"{run} was trained with the {name} side {trained}, and {name}={config[name]} is {found} here: a bridge fits "
                "the models it was trained between alone. Restore those weights, or train again."
            )
    if untrained:
        return config, backbones, backbones.model(config.seed).eval()
    weights = {
        name.removeprefix(MODEL): value
        for name, value in checkpoint["state_dict"].items()
        if not name.startswith(FROZEN)
    }
    standard = {
        name: weights[name] for name in ("mean", "std") if name in weights and weights[name].numel() > 1
    }
    positions = weights.get("positions")
    images = 1 if positions is None else len(positions) // backbones.patches(1)
    model = backbones.model(config.seed, images=images, **standard)
    try:
        lacking, unknown = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # of other shapes
        raise ValueError(
            f"{run / 'last.ckpt'} does not fit the bridge of its config ({' '.join(str(error).split())})."
        ) from error
    lacking = [name for name in lacking if not name.startswith(FROZEN.removeprefix(MODEL))]
    if lacking or unknown:
        raise ValueError(
            f"{run / 'last.ckpt'} does not fit the bridge of its config: lacks {lacking}, has {unknown} besides. The bridge's "
            "code has changed since: train again."
        )
    return config, backbones, model.eval()
