"""What only a GPU can show, in minutes (`make test-gpu`). Figures go to runs/gpu.md."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from step_measures import MEASURES, in_process, write_pair

from bridgelab.config.instantiate import build
from bridgelab.data.features.encoding import encode
from bridgelab.training import main

# Warnings are no errors here: cuBLAS has one of its context in a backward thread, Dynamo of what it does not trace.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]
TABLE = Path("runs/gpu.md")
SMALL_WORLD = (
    "benchmark.images={train:40,val:8,test:8}", "benchmark.processes=1", "train.stages=[{share:1.0,answer:1.0}]",
    "train.val_limit={answer:1,caption:1}",
)  # fmt: skip
RUN = (
    "trainer=gpu", "train.steps=6", "train.batch_size=8", "train.lr=0.001", "train.budgets=[]", "train.val_points=1",
    "train.log_every=1", "train.precision=fp32", "evaluate.shuffled=false", "evaluate.limit={answer:4,caption:2}",
)  # fmt: skip


def composed(*overrides):
    with initialize_config_dir(str(main.ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.fixture(scope="module")
def figures():
    """Lines of a table, which is written in the end."""
    lines = []
    yield lines
    TABLE.parent.mkdir(exist_ok=True)
    head = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {platform.python_version()}"
    TABLE.write_text("\n".join([head, "", "| what | figure |", "|---|---:|", *lines]) + "\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def places(home):
    return (f"benchmark.root={home}/world", f"paths.features={home}/features", *SMALL_WORLD)


def losses(folder):
    return pd.read_csv(folder / "metrics.csv")["train/loss"].dropna().to_numpy()


def train(folder, places, *choices):
    """Run in this process, and return the losses of its steps and its record."""
    main.run(composed(*RUN, *places, "bridge=qformer", *choices), folder, bridge="qformer")
    return losses(folder), json.loads((folder / "metrics.json").read_text())


def test_compiled_steps_are_the_eager_ones(home, places, figures):
    eager, _ = train(home / "eager", places)
    compiled, record = train(home / "compiled", places, "compile=true")
    assert record["compiled"]
    assert compiled == pytest.approx(eager, rel=1e-3)
    figures.append(
        f"| largest difference of a loss, compiled and eager | {np.abs(compiled - eager).max():.1e} |"
    )


def test_bf16_follows_fp32(home, places, figures):
    exact, _ = train(home / "eager_again", places)
    rounded, record = train(home / "bf16", places, "train.precision=bf16")
    assert record["precision"] == "bf16"
    assert rounded == pytest.approx(exact, rel=0.05)
    figures.append(f"| largest difference of a loss, bf16 and fp32 | {np.abs(rounded - exact).max():.1e} |")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
def test_two_gpus_take_the_steps_of_one(home, places, figures):
    one, _ = train(home / "one", places)
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "bridgelab.cli", "train"]
    choices = [*RUN[1:], *places, "bridge=qformer", "trainer=ddp", f"hydra.run.dir={home}/two"]
    subprocess.run([sys.executable, "-m", *command, *choices], check=True)
    two = losses(home / "two")
    assert two == pytest.approx(one, rel=1e-3)
    figures.append(f"| largest difference of a loss, two GPUs and one | {np.abs(two - one).max():.1e} |")


def test_features_of_the_gpu_are_those_of_the_cpu(home, figures):
    config = composed().vision
    images = [np.random.default_rng(k).integers(0, 256, (160, 240, 3), dtype=np.uint8) for k in range(8)]
    on_cpu, on_gpu = (encode(build(config, "vision").to(device), images).cpu() for device in ("cpu", "cuda"))
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-2, atol=1e-2)
    figures.append(f"| largest difference of a feature, GPU and CPU | {(on_gpu - on_cpu).abs().max():.1e} |")


def test_flan_t5_xl_trains_in_the_memory_that_was_predicted_and_in_that_of_a_bare_loop(home, places, figures):
    """ViT-L/14 and Flan-T5-XL with random weights, 20 steps. Seconds are written down and not judged."""
    pair = write_pair(home, "ViT-L-14", "google/flan-t5-xl")
    own = [
        *pair,
        *places,
        f"paths.features={home}/large",
        "bridge=qformer",
        "trainer=gpu",
        "train.batch_size=32",
    ]
    found = {what: in_process(what, own, "cuda") for what in MEASURES}
    for what, (seconds, peak) in found.items():
        figures.append(
            f"| ViT-L/14 + Flan-T5-XL, Q-Former, batch 32, {what}: ms a step | {1e3 * seconds:.0f} |"
        )
        figures.append(
            f"| ViT-L/14 + Flan-T5-XL, Q-Former, batch 32, {what}: GB at the peak | {peak / 1e9:.2f} |"
        )
    peaks = {what: peak for what, (_, peak) in found.items()}
    assert peaks["predicted"] == pytest.approx(peaks["measured"], rel=0.25)
    assert peaks["bare"] == pytest.approx(peaks["measured"], rel=0.1)
