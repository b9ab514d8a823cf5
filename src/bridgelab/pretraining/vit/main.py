r"""Make the miniature ViT: open_clip's CoCa, trained on rendered scenes and their captions, without any question.

Loss: captioning, plus `contrastive` times the contrastive loss (Yu et al. 2022, CoCa, arXiv:2205.01917).
A caption names every object, in random order, each by its place and then its attributes:
'c07 r13 small red metal cube'. Place comes first, so that each attribute is asked of a known patch: the dense
part of the loss then teaches what every patch shows. The text tower is discarded after training.
"""

import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.config.root import config_root
from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.vit.evaluate import probe_weights, retrieval
from bridgelab.pretraining.vit.loss_log import LossLog
from bridgelab.pretraining.vit.model import export
from bridgelab.pretraining.vit.scene_pool import Pool, open_pool
from bridgelab.pretraining.vit.training import VitTraining, recipe
from bridgelab.text.t5 import ASSETS

CONF = config_root() / "conf" / "pretrain"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="vision")
def main(cfg: DictConfig) -> None:
    """Run the Hydra app: `python -m bridgelab.pretraining.vit.main images=800000 out=runs/pretrain/longer`."""
    OmegaConf.resolve(cfg)
    weights = train(OmegaConf.to_container(cfg))  # type: ignore[arg-type]
    if weights and cfg.install:
        for name in ("vision.safetensors", "vision.json", "vision_card.json"):
            shutil.copy(weights.parent / name, ASSETS / name)
        write_page(ASSETS)
        weights = ASSETS / weights.name
    print(f"weights: {weights}")


def train(cfg: dict[str, Any], stop_after: int | None = None) -> Path | None:
    """Train to the end, or for `stop_after` more steps; return the exported weights, None before the end.

    Raises:
        ValueError: if the patches do not cover the image, or the checkpoint or the pool in `out` is of another config.
    """
    _check_patches(cfg["model"]["vision_cfg"])
    out = Path(cfg["out"])
    torch.set_num_threads(cfg["threads"])
    run, checkpoint = VitTraining(cfg, _open_pool(cfg)), out / "last.ckpt"
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"resumed at step {run.step} of {run.steps}", flush=True)
    elif cfg["start"] is not None:
        run.start_from(cfg["start"])
    log = LossLog.resume(out / "losses.csv", run.step)
    end = run.steps if stop_after is None else min(run.steps, run.step + stop_after)
    since, losses = time.monotonic(), []
    while run.step < end:
        losses.append(run.advance())
        run.seconds, since = run.seconds + time.monotonic() - since, time.monotonic()
        if run.step % cfg["log_every"] == 0 or run.step == end:
            _log(run, log, losses)
            losses = []
        if run.step % cfg["save_every"] == 0 or run.step == end:
            run.save(checkpoint)
        if cfg["probe_every"] and run.step % cfg["probe_every"] == 0 and run.step < run.steps:
            probe_weights(run, out)
            log.draw()
            since = time.monotonic()
    log.draw()
    if run.step < run.steps:
        return None
    weights = export(run.model, cfg, out)
    write_card(run, out)
    return weights


def _check_patches(vision: dict[str, Any]) -> None:
    """Refuse, before anything is rendered, a grid whose weights `OpenClipVision` would refuse after the training."""
    size, patch = vision["image_size"], vision["patch_size"]
    if size < 1 or patch < 1 or size % patch:
        raise ValueError(
            f"model.vision_cfg.image_size={size} is not a multiple of model.vision_cfg.patch_size={patch}: the last patches "
            "would be cut off. Set one of them so that it is."
        )


def _open_pool(cfg: dict[str, Any]) -> Pool:
    return open_pool(
        Path(cfg["out"]) / "pool",
        scenes=cfg["scenes"],
        seed=cfg["seed"],
        size=cfg["model"]["vision_cfg"]["image_size"],
        objects=tuple(cfg["objects"]),
        workers=cfg["workers"],
    )


def _log(run: VitTraining, log: LossLog, losses: list[dict[str, float]]) -> None:
    """Log the means of the last steps.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    means = {name: float(np.mean([step[name] for step in losses])) for name in losses[0]}
    run.last_losses = {name: round(value, 4) for name, value in means.items()}
    log.add(
        {
            "step": run.step,
            "images": run.step * run.batch,
            "seconds": round(run.seconds, 1),
            "lr": run.optimizers[-1].param_groups[0]["lr"],
            **means,
        }
    )
    speed = run.step / run.seconds
    print(
        f"step {run.step}/{run.steps}  captioning {means['captioning']:.4f}"
        f"  contrastive {means['contrastive']:.3f}"
        f"  {speed * run.batch:.0f} images/s  {(run.steps - run.step) / speed / 60:.1f} min left",
        flush=True,
    )
    if not math.isfinite(means["captioning"]):
        raise FloatingPointError(
            f"the loss is {means['captioning']} at step {run.step}. Lower lr, or set dtype=float32."
        )


def write_card(run: VitTraining, out: Path) -> None:
    """Write `vision_card.json`: what was trained, on what, for how long, and how good it is."""
    figures = probe_weights(run, out)
    card: dict[str, Any] = {
        "fingerprint": figures.pop("fingerprint"),
        "images_seen": run.step * run.batch,
        "steps": run.step,
        "batch": run.batch,
        "scenes": len(run.pool),
        "objects": list(run.cfg["objects"]),
        "seed": run.cfg["seed"],
        "device": run.device,
        "threads": torch.get_num_threads() if run.device == "cpu" else None,
        "training_minutes": round(run.seconds / 60, 1),
        "parameters": sum(p.numel() for p in run.model.visual.parameters()),
        "last_losses": run.last_losses,
        "recipe": {key: value for key, value in json.loads(recipe(run.cfg)).items() if key != "start"},
        "probe": figures,
        "retrieval": retrieval(run, run.cfg["probe"]["test"]),
    }
    before = Path(run.cfg["start"]).with_name("vision_card.json") if run.cfg["start"] else None
    if before and before.exists():
        card["went_on_from"] = {k: v for k, v in json.loads(before.read_text()).items() if k != "probe"}
    partial = out / "vision_card.tmp"
    partial.write_text(json.dumps(card, indent=1) + "\n")
    os.replace(partial, out / "vision_card.json")


if __name__ == "__main__":
    sys.exit(main())
