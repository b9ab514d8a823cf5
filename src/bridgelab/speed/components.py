"""Speed of the renderer, the question generator and the frozen encoder, and of the command line's help."""

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
from bridgelab.world.questions.generate import draw_questions
from bridgelab.world.render import render, sample_visible_scene
from bridgelab.world.write import scene_record

IMAGES = 64


def components(config: DictConfig, device: str) -> Table:
    """Return a table with one row for each component.

    Args:
        config: of a run, for its encoder.
        device: of the encoder.
    """
    rng = np.random.default_rng(0)
    scenes = [sample_visible_scene(rng, image_index=index) for index in range(IMAGES)]
    images = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
    vision = build(config.vision, "vision").to(device)
    command = [sys.executable, "-m", "bridgelab.cli", "--help"]
    table = Table(title="components")
    table.add_column("what")
    table.add_column("figure", justify="right")
    help_seconds = seconds(lambda: subprocess.run(command, capture_output=True, check=True))
    table.add_row("bridgelab --help", f"{help_seconds:.2f} s")
    render_seconds = seconds(lambda: [render(scene) for scene in scenes])
    table.add_row("renderer, one core", f"{IMAGES / render_seconds:.0f} images/s")
    sample_seconds = seconds(lambda: [sample_visible_scene(rng, image_index=0) for _ in range(IMAGES)])
    table.add_row("scenes with every object in view, one core", f"{IMAGES / sample_seconds:.0f} scenes/s")
    encode_seconds = seconds(lambda: vision.patches(images).cpu())
    table.add_row(f"frozen encoder, {device}", f"{IMAGES / encode_seconds:.0f} images/s")
    records = [scene_record(scene, "val") for scene in scenes]
    draw = random.Random(0)
    question_seconds = seconds(lambda: [draw_questions(record, draw, Balance()) for record in records])
    table.add_row("questions with programs, one core", f"{10 * IMAGES / question_seconds:.0f} questions/s")
    return table


def seconds(call: Callable[[], object], times: int = 5) -> float:
    """Return the least seconds of some calls, after one that warms up: other load on the machine only adds."""
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)
