"""Answers by likelihood over a closed set: one pass of the encoder a question, beside one for each answer."""

import statistics
import time

import torch
from omegaconf import DictConfig

from bridgelab.data.batches import LABEL_IGNORED
from bridgelab.evaluation.predict import on_device
from bridgelab.training.experiment import Experiment
from bridgelab.world.scene import ATTRIBUTES

TIMES = 5
QUESTIONS = 32
ANSWERS = ("yes", "no", *map(str, range(11)), *(word for words in ATTRIBUTES.values() for word in words))
LIKELIHOOD_COLUMNS = ("bridge", "answers", "one pass ms", "a pass an answer ms", "ratio")


@torch.no_grad()
def likelihood_row(config: DictConfig, device: str) -> list[str]:
    """A row under `LIKELIHOOD_COLUMNS`, less the bridge's name; both ways give the same numbers."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0).eval()
    pool = experiment.data.pools["answer"]
    batch = on_device(pool.batch(range(min(QUESTIONS, len(pool)))), model)
    model.init_output_scale(batch)
    ids, mask = experiment.backbones.text.tokenize(list(ANSWERS))
    labels = torch.where(mask.bool(), ids, LABEL_IGNORED).to(device)
    choices = labels.expand(len(batch["labels"]), -1, -1)

    def together() -> torch.Tensor:
        return model.choice_likelihoods(model.encode(batch), choices)

    def apart() -> torch.Tensor:
        each = [batch | {"labels": one.expand(len(batch["labels"]), -1)} for one in labels]
        return torch.stack([model.likelihood(one) for one in each], 1)

    taken: dict[str, list[float]] = {"together": [], "apart": []}
    for name, call in [("together", together), ("apart", apart)] * (TIMES + 1):
        began = time.perf_counter()
        found = call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken[name].append(time.perf_counter() - began)
        assert found.shape == (len(choices), len(ANSWERS))
    one, many = (statistics.median(times[1:]) for times in taken.values())
    return [str(len(ANSWERS)), f"{1e3 * one:.0f}", f"{1e3 * many:.0f}", f"{many / one:.2f}"]
