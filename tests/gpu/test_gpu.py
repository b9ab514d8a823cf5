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
from tiny_t5 import tiny_batch
from transformers import T5Config, T5ForConditionalGeneration

from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers
from bridgelab.bridge.qformer import QFormer
from bridgelab.config.instantiate import build
from bridgelab.data.features.encoding import encode
from bridgelab.model import INSERTS, BridgedModel
from bridgelab.optim import muon
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.text.t5 import T5
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


@pytest.fixture(scope="module")
def tiny_t5(home):
    """A folder with a T5 of random weights and two layers a stack."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, num_heads=4, d_ff=32, num_layers=2, feed_forward_proj="gated-gelu",
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(home / "t5")
    tokenizer.save_pretrained(home / "t5")
    return str(home / "t5")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
@pytest.mark.parametrize("insert", INSERTS)
def test_a_t5_on_two_gpus_trains_a_conditioned_bridge_as_on_one(tiny_t5, insert):
    """Its encoder ends on another GPU than that of the bridge, as with `device_map=auto` on three or more."""
    found = []
    for device_map in (None, {"shared": 0, "encoder": 1, "decoder": 1, "lm_head": 1}):
        text = T5(tiny_t5, device_map=device_map)
        torch.manual_seed(0)
        bridge = QFormer(6, 16, num_queries=2, depth=2, width=16, num_heads=4, conditioning="question")
        blocks = None
        if insert == "cross_attention":
            blocks = CrossAttentionLayers(16, 2, stack="decoder", every=1, num_heads=4, ffn_ratio=2)
        model = BridgedModel(bridge, text, insert=insert, cross_attention=blocks).to("cuda:0")
        batch = tiny_batch(text)
        batch |= {"question": batch["prompt"], "question_mask": batch["prompt_mask"]}
        batch = {name: value.to("cuda:0") for name, value in batch.items()}
        model.init_output_scale(batch)
        loss = model(batch)
        loss.backward()
        answers = model.generate(batch, max_new_tokens=3)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((model.scale, loss.detach(), gradient, answers.to("cuda:0")))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (96, 48)])
def test_muon_orthogonalizes_in_bfloat16(shape, monkeypatch):
    """Its singular values come into Muon's band there too, and a step in slices is the step of all at once."""
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    on_gpu = muon.orthogonalize(matrices.cuda())
    assert on_gpu.dtype == torch.bfloat16
    values = torch.linalg.svdvals(on_gpu.float())
    assert values.min() > 0.3
    assert values.max() < 1.3
    stepped = []
    for size in (2**26, 2 * shape[0] * shape[1]):
        monkeypatch.setattr(muon, "SLICE", size)
        params = [torch.zeros(shape, device="cuda", requires_grad=True) for _ in matrices]
        for p, gradient in zip(params, matrices, strict=True):
            p.grad = gradient.cuda()
        muon.Muon(params, lr=1.0).step()
        stepped.append(torch.stack(params).detach())
    torch.testing.assert_close(stepped[1], stepped[0], rtol=0, atol=0.02)


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
