import json
import os

import open_clip
import pytest
import step_measures
import torch
from hydra import compose, initialize_config_dir
from step_measures import MEASURES, write_pair
from transformers import T5Config

from bridgelab.text.t5 import T5
from bridgelab.vision.openclip import OpenClipVision


def test_what_is_written_is_loaded_as_real_weights_are(tmp_path, monkeypatch):
    config = T5Config(
        vocab_size=200, d_model=16, d_kv=8, d_ff=24, num_layers=3, num_decoder_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    given = open_clip.get_model_config("ViT-B-32")
    given["vision_cfg"] |= {"width": 64, "layers": 2, "image_size": 64}
    config.own_head = True
    monkeypatch.setattr(step_measures, "text_config", lambda name: config)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: given)
    with torch.device("meta"):
        visual = open_clip.model.CLIP(**given).visual
    monkeypatch.setattr(step_measures, "tower", lambda config: visual)
    overrides = write_pair(tmp_path, "tiny-vit", "tiny-t5")
    with initialize_config_dir(os.path.join(os.environ["BRIDGELAB_ROOT"], "conf"), version_base="1.3"):
        found = compose("train", overrides)
    model = T5(found.text.path, dtype="float32").model
    assert model.config.num_layers == 3
    assert not torch.equal(model.lm_head.weight, model.shared.weight)
    vision = OpenClipVision(weights=found.vision.weights)
    assert (vision.dim, vision.grid) == (64, (2, 2))
    assert vision.patches(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).isfinite().all()
    assert json.loads((tmp_path / "vision.json").read_text())["preprocess_cfg"] == {}


@pytest.mark.slow
def test_training_takes_about_the_memory_that_was_predicted_and_that_of_a_bare_loop(tmp_path):
    own = [
        f"benchmark.root={tmp_path}/world",
        f"paths.features={tmp_path}/features",
        "benchmark.images={train:40,val:8,test:8}",
        "train.stages=[{share:1.0,answer:1.0}]",
        "evaluate.batch_size=8",  # the doctor times answers too, which are not compared here
    ]
    peaks = {what: step_measures.in_process(what, own, "cpu")[1] for what in MEASURES}
    assert peaks["predicted"] == pytest.approx(peaks["measured"], rel=0.25)
    assert peaks["bare"] == pytest.approx(peaks["measured"], rel=0.1)
