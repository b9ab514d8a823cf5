"""A training step with our T5 encoder (`text.t5_encoder`) and with transformers' own, on trained bridges."""

import statistics
import time

from omegaconf import DictConfig

from bridgelab.config.instantiate import build
from bridgelab.evaluation.predict import on_device
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.speed.step import bare_step
from bridgelab.training.experiment import Experiment

TRAINED = 300  # steps, after which a bridge's tokens are no longer those of its init
LR = 5e-3
TIMES = 15
WARM_UP = 3  # first steps of each, which choose kernels and take memory
ENCODER_COLUMNS = ("bridge", "tokens", "our encoder ms", "transformers' ms", "theirs/ours")


def encoder_row(config: DictConfig) -> list[str]:
    """Return what follows a bridge's name under `ENCODER_COLUMNS`, on the CPU.

    Both encoders take a step in turn, on the same model and batch, so that what else runs here slows both alike.
    """
    experiment = Experiment.set_up(config, "cpu")
    model = experiment.model(0)
    batches = experiment.data.batches(TRAINED, 0)
    experiment.init_output_scale(model, batches)
    experiment.fit(model, batches, lr=LR, single_process=True)
    batch = on_device(next(iter(experiment.data.batches(1, 1))), model)
    optimizer = build(config.optim, "optim")(parameter_groups(model), lr=1e-6)
    encoders = {"ours": model._frozen_encoder, "theirs": None}
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(WARM_UP + TIMES):
        for name, encoder in encoders.items():
            model._frozen_encoder = encoder
            began = time.perf_counter()
            bare_step(model, optimizer, batch)
            seconds[name].append(time.perf_counter() - began)
    ours, theirs = (times[WARM_UP:] for times in seconds.values())
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    tokens = model.prefix(batch).shape[1]
    medians = [f"{1e3 * statistics.median(times):.0f}" for times in (ours, theirs)]
    return [str(tokens), *medians, f"{ratio:.2f}"]
