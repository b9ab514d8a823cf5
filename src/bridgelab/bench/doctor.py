"""What `bridgelab doctor` predicts of a run, beside what training then takes, each in a process of its own.

The miniature pair and larger ones, whose random weights are written first and then loaded as any weights are. Memory on a
CPU is all that the process holds, on a GPU what torch's allocator gave out.
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

from bridgelab.config.root import config_root
from bridgelab.data.batches import Batch, TrainingBatches
from bridgelab.doctor.measurement import Probe
from bridgelab.doctor.meta_models import filled, text_config, text_model, tokenizer, tower
from bridgelab.doctor.prediction import probed
from bridgelab.doctor.resident import resident
from bridgelab.doctor.workload import volume
from bridgelab.training.experiment import Experiment

STEPS = 9
WARM_UP = 4  # first steps, in which kernels are chosen and memory is taken
COLUMNS = ("pair", "predicted ms", "measured ms", "ratio", "predicted MB", "measured MB", "ratio")
# vision, text, examples of a batch: sizes of which a step takes seconds
LARGE = {"cpu": ("ViT-B-16", "google/flan-t5-base", 4), "cuda": ("ViT-L-14", "google/flan-t5-xl", 32)}


class Timed(TrainingBatches):
    """Training batches that note when each was asked for."""

    def __iter__(self) -> Iterator[Batch]:
        self.asked = []
        for batch in super().__iter__():
            self.asked.append(time.perf_counter())
            yield batch
        self.asked.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median step after the first few."""
        return statistics.median(b - a for a, b in pairwise(self.asked[WARM_UP:]))


def pairs(device: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A name and overrides for each pair; weights are written to the folder."""
    yield "miniature", []
    vision, text, batch = LARGE[device]
    yield (
        f"{vision} + {text}, batch {batch}",
        [*write_pair(folder, vision, text), f"train.batch_size={batch}"],
    )


def write_pair(folder: Path, vision: str, text: str) -> list[str]:
    """Write random weights in the shapes of two published models, and give the overrides that name them.

    Args:
        folder: where to, in bfloat16.
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


def doctor_row(name: str, overrides: Sequence[str], device: str) -> list[str]:
    """A row under `COLUMNS`."""
    row = [name]
    (step, peak), (taken, most) = (_asked(what, overrides, device) for what in ("predicted", "measured"))
    for one, other, unit in ((step, taken, 1e3), (peak, most, 1e-6)):
        row += [f"{unit * one:.0f}", f"{unit * other:.0f}", f"{one / other:.2f}"]
    return row


def _asked(what: str, overrides: Sequence[str], device: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "bridgelab.bench.doctor", what, device, *overrides]
    quiet = os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR"}
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=quiet).stdout
    step, peak = json.loads(told.splitlines()[-1])
    return step, peak


def predicted(config: DictConfig, device: torch.device) -> tuple[float, float]:
    """Seconds of a training step and bytes at its peak, of which the doctor knows before."""
    process = resident()
    found = volume(config, tokenizer(str(config.text.path)), {}, "")
    costs = probed(
        Probe(config, device, text_config(str(config.text.path)), tower(config.vision)), found, process
    )
    memory = costs.memory
    return costs.step, costs.process + memory.text + memory.vision + memory.trained + memory.step


def measured(config: DictConfig, device: torch.device) -> tuple[float, float]:
    """The same of a run."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0)
    made = experiment.data.batches(STEPS, 0)
    timed = Timed(made.sampler, made.pools)
    experiment.init_output_scale(model, made)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: loading is over
    experiment.fit(model, timed, lr=1e-4, single_process=True)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")
    return timed.seconds, peak


def main(what: str, device: str, overrides: Sequence[str]) -> None:
    """Print what a parent asks for, as JSON."""
    conf = config_root() / "conf"
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("train", list(overrides))
    ask = {"predicted": predicted, "measured": measured}[what]
    sys.stdout.write(json.dumps(ask(config, torch.device(device))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
