"""A real pair in its true shapes, with random weights that are loaded as real ones are: nothing is downloaded."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from bridgelab.config.instantiate import build
from bridgelab.doctor.random_models import RandomVision, filled, text_config, text_model, tokenizer, tower
from bridgelab.training.main import run

CPU = torch.device("cpu")


def save_text(folder, name):
    """A T5 of this name's shape as a folder of the hub has it, with the miniature's tokenizer."""
    model = filled(text_model(text_config(name), torch.bfloat16, "eager"), CPU)
    model.save_pretrained(folder)
    tokenizer("miniature").tokenizer.save_pretrained(folder)


def save_vision(folder, name):
    """A whole CLIP of this name's shape as open_clip's local-dir form has it."""
    folder.mkdir()
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(name, load_weights=False)
    weights = {key: value.bfloat16().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


@pytest.mark.slow
def test_vit_l_14_and_flan_t5_base_train_a_step_and_answer(composed, tmp_path):
    save_text(tmp_path / "text", "google/flan-t5-base")
    save_vision(tmp_path / "vision", "ViT-L-14")
    config = composed(
        "bridge=qformer", "bridge.width=768", "vision=openclip_vit_l_14", f"vision.weights=local-dir:{tmp_path}/vision",
        "vision.pretrained=null", "text=flan_t5_base", f"text.path={tmp_path}/text", f"benchmark.root={tmp_path}/world",
        "benchmark.images={train:2,val:1,test:2}", "benchmark.questions_per_image=1", "benchmark.processes=1",
        "train.steps=1", "train.batch_size=2", "train.lr=0.001", "train.stages=[{share:1.0,answer:1.0}]",
        "train.val_points=1", "train.val_limit={answer:1,caption:1}", "evaluate.limit={answer:1,caption:2}",
        "evaluate.shuffled=false", f"paths.features={tmp_path}/features",
    )  # fmt: skip
    run(config, tmp_path / "run", bridge="qformer")
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (record["steps"], record["examples_seen"]) == (1, 2)
    assert record["costs"]["visual_tokens"] == 16
    assert record["costs"]["trainable_parameters"] > 10_000_000
    assert 0 <= record["metrics"]["test/accuracy"] <= 1
    text = build(config.text, "text")
    assert (text.dim, text.model.config.num_layers, len(text.model.decoder.block)) == (768, 12, 12)
    assert sum(p.numel() for p in text.model.parameters()) == 247_577_856
    vision = RandomVision(tower(config.vision), config.vision)
    assert (vision.dim, vision.grid, vision.layer) == (1024, (16, 16), 22)
