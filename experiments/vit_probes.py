"""Print what the miniature ViT's patches tell of an object, by block: read by a linear probe, and by one with a hidden layer.

python experiments/vit_probes.py      (half an hour on a CPU core that trainings shared)
"""

import numpy as np
import torch
from torch import nn

from bridgelab.pretraining.vit.probe import Objects, fit_ridge, predict, probe_scenes, read_objects
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.world.distribution_shift import SHIFTS, decorate
from bridgelab.world.scene import ATTRIBUTES

FIT, TEST = 2000, 400  # scenes, which nothing is trained on
CASES = ((-1, "plain"), (-1, "clutter"), (-2, "plain"), (-3, "plain"), (-4, "plain"))  # block, ground
POOLINGS = {"centre": "its centre's patch", "around": "3 × 3 patches"}


def main() -> None:
    """Print a table: one row for each block, ground, region and probe, one column for each attribute."""
    plain = probe_scenes(1, range(FIT + TEST), (3, 10))
    cluttered = [
        decorate(scene, SHIFTS["clutter"], np.random.default_rng([1, index]))
        for index, scene in enumerate(plain)
    ]
    print("| block | ground | read from | probe |", *(f"{name} |" for name in ATTRIBUTES))
    print("| --- | --- | --- | --- |", *("---: |" for _ in ATTRIBUTES))
    for layer, ground in CASES:
        vision, scenes = OpenClipVision(layer=layer), cluttered if ground == "clutter" else plain
        fit, test = (read_objects(vision, part) for part in (scenes[:FIT], scenes[FIT:]))
        for pooling, region in POOLINGS.items():
            for probe in (linear, hidden_layer):
                right = [100 * probe(fit, test, pooling, name) for name in ATTRIBUTES]
                cells = " | ".join(f"{value:.1f}" for value in right)
                print(
                    f"| {layer} | {ground} | {region} | {probe.__name__.replace('_', ' ')} | {cells} |",
                    flush=True,
                )


def linear(fit: Objects, test: Objects, pooling: str, name: str) -> float:
    """Return the accuracy of ridge regression on one attribute."""
    targets = np.eye(len(ATTRIBUTES[name]))[fit.labels[name]]
    weights = fit_ridge(fit.features[pooling], targets, fit.image)
    return float((predict(weights, test.features[pooling]).argmax(1) == test.labels[name]).mean())


def hidden_layer(fit: Objects, test: Objects, pooling: str, name: str) -> float:
    """Return the accuracy of a probe with one hidden layer of 256 units on one attribute, after ten epochs."""
    mean, spread = fit.features[pooling].mean(0), fit.features[pooling].std(0) + 1e-6
    x, x_test = (torch.tensor((one.features[pooling] - mean) / spread).float() for one in (fit, test))
    labels = torch.tensor(fit.labels[name])
    torch.manual_seed(0)
    probe = nn.Sequential(nn.Linear(x.shape[1], 256), nn.GELU(), nn.Linear(256, len(ATTRIBUTES[name])))
    optimizer = torch.optim.AdamW(probe.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(10):
        for batch in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(probe(x[batch]), labels[batch]).backward()
            optimizer.step()
    return float((probe(x_test).argmax(1).numpy() == test.labels[name]).mean())


if __name__ == "__main__":
    main()
