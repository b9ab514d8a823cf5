import os
import time

import pytest
from hydra import compose, initialize_config_dir

from bridgelab import bench
from bridgelab.train import main as train  # noqa: F401  sets BRIDGELAB_ROOT and registers what configs call


def test_the_best_of_several_calls_is_taken():
    waits = iter([0.2, 0.1, 0.01, 0.1])  # the first only warms up
    assert bench._seconds(lambda: time.sleep(next(waits)), times=3) == pytest.approx(0.01, abs=0.05)


def test_a_step_is_timed_in_training_and_in_a_bare_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "STEPS", 7)
    conf = os.path.join(os.environ["BRIDGELAB_ROOT"], "conf")
    own = [*bench.SMALL_WORLD, f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features"]
    with initialize_config_dir(conf, version_base="1.3"):
        blind = compose("train", [*own, "bridge=blind", "bridge.num_tokens=3", "train.batch_size=2"])
        words = compose("train", [*own, "bridge=words"])
    parameters, tokens, bare, training, overhead = bench._step(blind, "cpu")
    assert tokens == "3"
    assert int(parameters) % 3 == 0  # three vectors of the T5's width
    assert float(bare) > 0
    assert float(training) > 0
    assert overhead.endswith("%")
    assert bench._step(words, "cpu") is None  # nothing to train, nothing to time
    whole, products, ratio, *shares = bench._floor(blind, "cpu")
    assert float(whole) > 0
    assert float(products) > 0
    assert float(ratio) > 0
    assert sum(float(share.removesuffix("%")) for share in shares) == pytest.approx(100, abs=2)
    assert bench._floor(words, "cpu") is None
