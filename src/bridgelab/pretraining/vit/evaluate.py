"""How good a ViT in training is: probes of its patches, and retrieval between images and captions."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridgelab.pretraining.vit.captions import caption_ids
from bridgelab.pretraining.vit.model import export
from bridgelab.pretraining.vit.probe import probe, probe_scenes, summary
from bridgelab.pretraining.vit.scene_pool import facts_of
from bridgelab.pretraining.vit.training import VitTraining, pixels
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.world.render import render


def probe_weights(run: VitTraining, out: Path) -> dict[str, Any]:
    """Export the current weights, probe them, and return the probes' figures with the weights' fingerprint."""
    vision = OpenClipVision(weights=str(export(run.model, run.cfg, out))).to(run.device)
    options = run.cfg["probe"]
    figures = probe(
        vision,
        fit=options["fit"],
        test=options["test"],
        seed=options["seed"],
        objects=tuple(run.cfg["objects"]),
    )
    print(f"probe at step {run.step}: {summary(figures)}", flush=True)
    return figures | {"fingerprint": vision.fingerprint}


@torch.no_grad()
def retrieval(run: VitTraining, scenes: int) -> dict[str, float]:
    """Return how often an image's own caption ranks first among those of all scenes, and a caption's own image.

    The scenes are those that the probes are tested on.
    """
    options, most = run.cfg["probe"], int(run.cfg["objects"][1])
    drawn = probe_scenes(
        options["seed"], range(options["fit"], options["fit"] + scenes), tuple(run.cfg["objects"])
    )
    facts = np.stack([facts_of(scene, most) for scene in drawn])
    order = np.random.default_rng([options["seed"], 2]).random(facts.shape[:2])
    ids = caption_ids(facts, (facts[:, :, 0] >= 0).sum(1), order).to(run.device)
    size = run.cfg["model"]["vision_cfg"]["image_size"]
    x = pixels(np.stack([render(scene, size) for scene in drawn]), run.cfg["preprocess"], run.device)
    outputs = [run.model(x[k : k + run.batch], ids[k : k + run.batch]) for k in range(0, scenes, run.batch)]
    image, text = (torch.cat([out[f"{side}_features"] for out in outputs]) for side in ("image", "text"))
    similarity, own = image @ text.T, torch.arange(scenes, device=image.device)
    return {
        "scenes": scenes,
        "image_to_caption": round((similarity.argmax(1) == own).float().mean().item(), 4),
        "caption_to_image": round((similarity.argmax(0) == own).float().mean().item(), 4),
    }
