import json
import shutil

import torch

from bridgelab.pretraining import measure
from bridgelab.text.t5 import ASSETS
from bridgelab.world.write import GENERATOR


def test_the_shipped_t5_is_measured_again_and_nothing_else_changes(tmp_path, monkeypatch):
    evaluate, dtypes = measure.evaluate, set()

    def seen(model, *args, **kwargs):
        dtypes.update(weight.dtype for weight in model.parameters())
        return evaluate(model, *args, **kwargs)

    monkeypatch.setattr(measure, "evaluate", seen)
    shutil.copytree(ASSETS / "text", tmp_path / "text")
    shutil.copy(ASSETS / "text_card.json", tmp_path)
    before = json.loads((tmp_path / "text_card.json").read_text())
    (card,) = measure.measure(tmp_path, scenes=4)
    assert dtypes == {torch.float32}  # as in a run
    assert card == json.loads((tmp_path / "text_card.json").read_text())
    measured = ("words", "words_with_most_objects", "measured_on_generator")
    assert {k: v for k, v in card.items() if k not in measured} == {
        k: v for k, v in before.items() if k not in measured
    }
    assert card["measured_on_generator"] == GENERATOR
    assert set(card["words"]) == set(before["words"])
    assert 0.8 < card["words"]["compact"]["mean"] <= 1
    assert f"(generator {GENERATOR} of" in (tmp_path / "README.md").read_text()
