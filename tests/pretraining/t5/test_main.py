import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny_t5 import TINY
from transformers import T5ForConditionalGeneration

from bridgelab.pretraining.t5.main import start_folder, train
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.pretraining.t5.training import ReaderTraining

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf" / "pretrain"


def settings(reader="schooled"):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("text", [f"reader={reader}"])


@pytest.mark.parametrize("reader", sorted(path.stem for path in CONF.glob("reader/*.yaml")))
def test_the_packages_models_are_started_from_anywhere_and_replaced_on_request_alone(
    reader, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cfg = settings(reader)
    assert cfg.start is None or (start_folder(cfg.start) / "model.safetensors").exists()
    assert cfg.install is False
    assert OmegaConf.load(CONF / "vision.yaml").install is False
    assert "install=$(if $(filter 0,$(SEED)),true,false)" in (ROOT / "Makefile").read_text()


def test_training_leaves_weights_card_and_page_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("bridgelab.pretraining.t5.training.VALIDATION_SCENES", 2)
    cfg = settings()
    cfg.update(
        {"out": str(tmp_path), "install": False, "lessons": 64, "batch": 16, "scenes_per_chunk": 4}
        | {
            "test_scenes": 2,
            "tagged_block": 1,
            "bound_block": 1,
            "traced_blocks": [1],
            "local_heads": [2, 3],
            "model": TINY,
        }
    )
    train(cfg)
    card = json.loads((tmp_path / "text_card.json").read_text())
    assert card["lessons"] >= 64
    assert card["recipe"]["trace_weight"] == cfg.trace_weight
    assert card["curve"][-1]["lessons"] == card["lessons"]
    assert "deep supervision" in (tmp_path / "README.md").read_text()
    weights = T5ForConditionalGeneration.from_pretrained(tmp_path / "text")
    assert not [name for name, _ in weights.named_parameters() if "heads" in name]
    again = train(cfg)  # nothing left to train: the same weights, measured again
    assert json.loads((tmp_path / "text_card.json").read_text()) == card
    assert {form: list(f) for form, f in again.items()} == {
        form: list(card["words"][form]["families"]) for form in again
    }
    cfg.lessons = 150
    train(cfg)
    longer = json.loads((tmp_path / "text_card.json").read_text())
    assert longer["lessons"] >= 150
    assert [point["lessons"] for point in longer["curve"]][: len(card["curve"])] == [
        point["lessons"] for point in card["curve"]
    ]
    cfg.trace_weight = 0.5
    with pytest.raises(ValueError, match=r"another recipe .*: trace_weight=8\.0, not 0\.5\. .*out="):
        train(cfg)
    checkpoint = tmp_path / "last.ckpt"
    older = torch.load(checkpoint, weights_only=True)
    del older["recipe"]  # as in checkpoints before there were recipes
    torch.save(older, checkpoint)
    run = ReaderTraining(cfg, make_tokenizer().get_vocab(), torch.device("cpu"))
    run.load(checkpoint)
    assert run.done


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("bridgelab.pretraining.t5.training.VALIDATION_SCENES", 2)
    cfg = settings()
    cfg.update(
        {"install": False, "lessons": 150, "batch": 16, "scenes_per_chunk": 4, "checkpoint_every": 0}
        | {"test_scenes": 2, "tagged_block": 1, "bound_block": 1, "traced_blocks": [1], "local_heads": [2, 3]}
        | {"model": TINY, "seed": 3}
    )
    cfg.out = str(tmp_path / "uninterrupted")
    train(cfg)
    cfg.out = str(tmp_path / "killed")
    save, saved = ReaderTraining.save, []

    def save_and_die(run, path):
        save(run, path)
        saved.append(run.counters.lessons)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReaderTraining, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(cfg)
    assert 0 < saved[-1] < cfg.lessons
    train(cfg)
    first, second = (
        T5ForConditionalGeneration.from_pretrained(tmp_path / run / "text").state_dict()
        for run in ("uninterrupted", "killed")
    )
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name
