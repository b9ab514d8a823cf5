"""What `bridgelab doctor` predicts of a training step, what a bare loop takes, and what training takes, each in its own process.

For models of a published size random weights are written first and then loaded as any others. Memory on a CPU is all that the
process holds, on a GPU what torch's allocator gives out.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import open_clip
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file

from bridgelab.config.instantiate import build
from bridgelab.config.root import config_root
from bridgelab.data.batches import Batch, TrainingBatches
from bridgelab.doctor.dry_run import DryRun, measure_costs
from bridgelab.doctor.machine import resident_bytes
from bridgelab.doctor.random_models import filled, text_config, text_model, tokenizer, tower
from bridgelab.doctor.workload import read_workload
from bridgelab.evaluation.predict import on_device
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.speed.step import bare_step
from bridgelab.training.experiment import Experiment

STEPS = {"cpu": 9, "cuda": 20}
WARM_UP = 4  # first steps, which choose kernels and take memory


class TimedBatches(TrainingBatches):
    """Training batches that record when each was requested."""

    def __iter__(self) -> Iterator[Batch]:
        self.times = []
        for batch in super().__iter__():
            self.times.append(time.perf_counter())
            yield batch
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median seconds of a step, without the first few."""
        return statistics.median(after - before for before, after in pairwise(self.times[WARM_UP:]))


def write_pair(folder: Path, vision: str, text: str) -> list[str]:
    """Write random weights in the shapes of two published models, and return the overrides that name them.

    Args:
        folder: for the weights, in bfloat16.
        vision: a model of open_clip.
        text: a published T5; its tokenizer is the miniature's.
    """
    config, words = text_config(text), tokenizer("miniature")
    assert words is not None
    model = filled(text_model(config, torch.bfloat16, "eager"), torch.device("cpu"))
    model.save_pretrained(folder / "text")  # type: ignore[operator]
    words.tokenizer.save_pretrained(folder / "text")
    del model
    visual = filled(tower(OmegaConf.create({"weights": vision})).bfloat16(), torch.device("cpu"))
    save_file(
        {f"visual.{name}": value for name, value in visual.state_dict().items()},
        folder / "vision.safetensors",
    )
    described = {"model_cfg": open_clip.get_model_config(vision), "preprocess_cfg": {}}
    (folder / "vision.json").write_text(json.dumps(described))
    return [
        "text=flan_t5_base",
        f"text.path={folder}/text",
        "vision=openclip_vit_b_16",
        f"vision.weights={folder}/vision.safetensors",
        "vision.pretrained=null",
    ]


def in_process(what: str, overrides: Sequence[str], device: str) -> tuple[float, float]:
    """Return the seconds of a step and the bytes at its peak, of one of `MEASURES` in a process of its own."""
    command = [sys.executable, __file__, what, device, *overrides]
    environment = os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR"}
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    step, peak = json.loads(output.splitlines()[-1])
    return step, peak


def predicted(config: DictConfig, device: torch.device) -> tuple[float, float]:
    """Return the doctor's prediction of a training step's seconds and of its peak in bytes."""
    process = resident_bytes()
    workload = read_workload(config, tokenizer(str(config.text.path)), {})
    dry_run = DryRun(config, device, text_config(str(config.text.path)), tower(config.vision))
    costs = measure_costs(dry_run, workload, process)
    memory = costs.memory
    return costs.step, costs.process + memory.text + memory.vision + memory.trained + memory.step


def bare(config: DictConfig, device: torch.device) -> tuple[float, float]:
    """Return the seconds of a bare loop's step, forward, backward and optimizer, and its peak in bytes."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0)
    experiment.init_output_scale(model, experiment.data.batches(1, 0))
    optimizer = build(config.optim, "optim")(parameter_groups(model), lr=1e-4)
    taken = []
    _reset_peak(device)
    for batch in experiment.data.batches(STEPS[device.type], 0):
        began = time.perf_counter()
        bare_step(model, optimizer, on_device(batch, model))
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[WARM_UP:]), _peak(device)


def measured(config: DictConfig, device: torch.device) -> tuple[float, float]:
    """Return the seconds of a training step and its peak in bytes."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0)
    batches = experiment.data.batches(STEPS[device.type], 0)
    timed = TimedBatches(batches.sampler, batches.pools)
    experiment.init_output_scale(model, batches)
    _reset_peak(device)
    experiment.fit(model, timed, lr=1e-4, single_process=True)
    return timed.seconds, _peak(device)


def _reset_peak(device: torch.device) -> None:
    """Forget the peak so far, which loading has raised."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else resident_bytes("VmHWM")


MEASURES = {"predicted": predicted, "bare": bare, "measured": measured}


def main(what: str, device: str, overrides: Sequence[str]) -> None:
    """Print what the parent process requests, as JSON."""
    conf = config_root() / "conf"
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("train", list(overrides))
    sys.stdout.write(json.dumps(MEASURES[what](config, torch.device(device))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
