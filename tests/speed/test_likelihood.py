from hydra import compose, initialize_config_dir

from bridgelab.speed import likelihood, main
from bridgelab.training.main import ROOT


def test_one_pass_of_the_encoder_beside_one_for_each_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(likelihood, "TIMES", 1)
    monkeypatch.setattr(likelihood, "QUESTIONS", 2)
    own = [*main.SMALL_WORLD, f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*own, "bridge=linear"])
    answers, one, many, ratio = likelihood.likelihood_row(config, "cpu")
    assert answers == "28"
    assert float(one) > 0
    assert float(many) > 0
    assert float(ratio) > 0
