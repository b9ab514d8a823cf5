"""Answers by likelihood over a closed set: one pass of the encoder per question, and one per answer."""

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
    """Return what follows a bridge's name under `LIKELIHOOD_COLUMNS`; both ways compute the same numbers."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0).eval()
    pool = experiment.data.pools["answer"]
    batch = on_device(pool.batch(range(min(QUESTIONS, len(pool)))), model)
    model.init_output_scale(batch)
    ids, mask = experiment.backbones.text.tokenize(list(ANSWERS))
    labels = torch.where(mask.bool(), ids, LABEL_IGNORED).to(device)
    choices = labels.expand(len(batch["labels"]), -1, -1)

    def one_pass() -> torch.Tensor:
        return model.choice_likelihoods(model.encode(batch), choices)

    def pass_per_answer() -> torch.Tensor:
        batches = [batch | {"labels": answer.expand(len(batch["labels"]), -1)} for answer in labels]
        return torch.stack([model.likelihood(one) for one in batches], 1)

    taken: dict[str, list[float]] = {"one": [], "many": []}
    for name, call in [("one", one_pass), ("many", pass_per_answer)] * (TIMES + 1):
        began = time.perf_counter()
        likelihoods = call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken[name].append(time.perf_counter() - began)
        assert likelihoods.shape == (len(choices), len(ANSWERS))
    one, many = (statistics.median(times[1:]) for times in taken.values())
    return [str(len(ANSWERS)), f"{1e3 * one:.0f}", f"{1e3 * many:.0f}", f"{many / one:.2f}"]
