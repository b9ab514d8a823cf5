import json

import pytest
import torch
from tiny_training import model_and_batches, train

from bridgelab.model import BridgedModel


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_stops_the_run_and_names_its_examples(
    tmp_path, tiny_text, what, monkeypatch
):
    step, forward = [0], BridgedModel.forward

    def poisoned(self, batch):
        step[0] += 1
        loss = forward(self, batch)
        if step[0] < 6:
            return loss
        if what == "loss":
            return loss * float("nan")
        tail = next(self.bridge.parameters()).sum()
        return loss + torch.sqrt((tail - tail.detach()).abs())  # 0, with a gradient that is not finite

    monkeypatch.setattr(BridgedModel, "forward", poisoned)
    with pytest.raises(
        FloatingPointError, match=r"step 5: .*must be finite.*not_finite\.json names the 4 examples"
    ):
        train(tiny_text, tmp_path)
    told = json.loads((tmp_path / "not_finite.json").read_text())
    _, batches = model_and_batches(tiny_text)
    assert told["ids"] == [str(row) for row in batches.sampler.batch(5).rows]
    batches.sampler.shard(1, 2)  # the examples of the other process may be those that do it
    assert batches.example_ids(5)[1] == told["ids"]
    assert (told["step"], told["pool"]) == ("5", "answer")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 5
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())
