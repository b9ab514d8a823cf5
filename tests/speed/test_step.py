import os

import pytest
from hydra import compose, initialize_config_dir

from bridgelab.backbones import Backbones
from bridgelab.speed import main, step


def test_a_step_is_timed_in_training_and_in_a_bare_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "STEPS", 10)
    conf = os.path.join(os.environ["BRIDGELAB_ROOT"], "conf")
    own = [*main.SMALL_WORLD, f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features"]
    with initialize_config_dir(conf, version_base="1.3"):
        blind = compose("train", [*own, "bridge=blind", "bridge.num_tokens=3", "train.batch_size=2"])
        between = compose(
            "train", [*own, "bridge=linear", "model.insert=cross_attention", "train.batch_size=2"]
        )
        words = compose("train", [*own, "bridge=words"])
    parameters, tokens, bare, training, overhead = step.step_row(blind, "cpu")
    assert tokens == "3"
    assert int(parameters) % 3 == 0  # three vectors of the T5's width
    assert float(bare) > 0
    assert float(training) > 0
    assert overhead.endswith("%")
    assert step.step_row(words, "cpu") is None  # nothing to train, nothing to time
    blocks = Backbones(between, "cpu").model(0).cross_attention
    parameters, *_ = step.step_row(between, "cpu")
    linear = 160 * 128 + 128
    assert int(parameters.replace(",", "")) == linear + sum(p.numel() for p in blocks.parameters())
    whole, products, ratio, *shares = step.matmul_row(blind, "cpu")
    assert float(whole) > 0
    assert float(products) > 0
    assert float(ratio) > 0
    assert sum(float(share.removesuffix("%")) for share in shares) == pytest.approx(100, abs=2)
    assert step.matmul_row(words, "cpu") is None
