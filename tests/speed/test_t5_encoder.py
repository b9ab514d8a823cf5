import pytest
from hydra import compose, initialize_config_dir

from bridgelab.model import BridgedModel
from bridgelab.speed import main, t5_encoder
from bridgelab.training.main import ROOT


@pytest.mark.parametrize("bridge", ["linear", "qformer"])
def test_a_trained_bridge_takes_steps_with_either_encoder(tmp_path, monkeypatch, bridge):
    monkeypatch.setattr(t5_encoder, "TRAINED", 2)
    monkeypatch.setattr(t5_encoder, "TIMES", 2)
    monkeypatch.setattr(t5_encoder, "WARM_UP", 1)
    used = []
    plain = BridgedModel.loss
    monkeypatch.setattr(
        BridgedModel, "loss", lambda self, batch: used.append(self._frozen_encoder) or plain(self, batch)
    )
    places = [f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*main.SMALL_WORLD, *places, *main.ENCODER, f"bridge={bridge}"])
    assert (config.text.path, config.train.batch_size) == ("miniature_prose", 16)
    tokens, ours, theirs, ratio = t5_encoder.encoder_row(config)
    assert tokens == {"linear": "64", "qformer": "16"}[bridge]
    assert min(float(ours), float(theirs), float(ratio)) > 0
    steps = used[-6:]  # three of each, in turn
    assert all(own is not None for own in steps[::2])
    assert steps[1::2] == [None] * 3
