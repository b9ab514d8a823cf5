"""How fast renderer, generator and frozen encoder are, and how soon the command line answers."""

import random
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from omegaconf import DictConfig
from rich.table import Table

from bridgelab.config.instantiate import build
from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.draw import draw_questions
from bridgelab.world.render import render, sample_visible_scene
from bridgelab.world.write import scene_record

IMAGES = 64


def parts(config: DictConfig, device: str) -> Table:
    """One row a part.

    Args:
        config: of a training, for its encoder.
        device: of the encoder.
    """
    rng = np.random.default_rng(0)
    scenes = [sample_visible_scene(rng, image_index=index) for index in range(IMAGES)]
    images = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
    vision = build(config.vision, "vision").to(device)
    command = [sys.executable, "-m", "bridgelab.cli", "--help"]
    table = Table(title="parts")
    table.add_column("what")
    table.add_column("figure", justify="right")
    started = seconds(lambda: subprocess.run(command, capture_output=True, check=True))
    table.add_row("bridgelab --help", f"{started:.2f} s")
    drawn = seconds(lambda: [render(scene) for scene in scenes])
    table.add_row("renderer, one core", f"{IMAGES / drawn:.0f} images/s")
    sampled = seconds(lambda: [sample_visible_scene(rng, image_index=0) for _ in range(IMAGES)])
    table.add_row("scenes with every object in view, one core", f"{IMAGES / sampled:.0f} scenes/s")
    encoded = seconds(lambda: vision.patches(images).cpu())
    table.add_row(f"frozen encoder, {device}", f"{IMAGES / encoded:.0f} images/s")
    records = [scene_record(scene, "val") for scene in scenes]
    draw = random.Random(0)
    asked = seconds(lambda: [draw_questions(record, draw, Balance()) for record in records])
    table.add_row("questions with programs, one core", f"{10 * IMAGES / asked:.0f} questions/s")
    return table


def seconds(call: Callable[[], object], times: int = 5) -> float:
    """The best of some calls, after one that warms up: what else runs on the machine only ever adds."""
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)
