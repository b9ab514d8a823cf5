"""A training step of each bridge: in training, in a bare loop, and beside its own matrix products.

`bridgelab train` and a bare loop of forward, backward and optimizer take a step on the same batch in turn, so that other load slows
both alike. Overhead is the median of their ratios minus one, and should stay below 5 %. The bare step is then compared with its own
matrix products, repeated by themselves.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from omegaconf import DictConfig

from bridgelab.config.instantiate import build
from bridgelab.data.batches import Batch, TrainingBatches
from bridgelab.evaluation.predict import on_device
from bridgelab.model import BridgedModel
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.speed.matmul_bound import filling, products_of
from bridgelab.training.experiment import Experiment

STEPS = 40
WARM_UP = 4  # first steps, which choose kernels and take memory
FILLING = ("products", "copies", "operations", "between")
STEP_COLUMNS = ("bridge", "parameters", "tokens", "bare ms", "training ms", "overhead")
MATMUL_COLUMNS = ("bridge", "bare ms", "products ms", "ratio", *FILLING)


class InTurn(TrainingBatches):
    """Training batches that time each training step, and a bare step of another model after it.

    Args:
        batches: of training.
        bare: the same batches, for the bare step.
        step: takes the bare step.
        wait: for the device to finish.
    """

    def __init__(
        self,
        batches: TrainingBatches,
        bare: Iterator[Batch],
        step: Callable[[Batch], None],
        wait: Callable[[], None],
    ):
        super().__init__(batches.sampler, batches.pools)
        self.bare, self.step, self.wait = bare, step, wait
        self.seconds: tuple[list[float], list[float]] = ([], [])

    def __iter__(self) -> Iterator[Batch]:
        began = time.perf_counter()
        for batch in super().__iter__():
            yield batch  # training takes its step
            self.wait()
            trained = time.perf_counter()
            self.step(next(self.bare))
            self.wait()
            stepped = time.perf_counter()
            for taken, seconds in zip(self.seconds, (stepped - trained, trained - began), strict=True):
                taken.append(seconds)
            began = time.perf_counter()


def bare_step(model: BridgedModel, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """Take a step: forward, backward and optimizer, with nothing around them."""
    optimizer.zero_grad()
    model(batch).backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()


def matmul_row(config: DictConfig, device: str) -> list[str] | None:
    """Return what follows a bridge's name under `MATMUL_COLUMNS`, or None if the bridge has nothing to train."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(
        0
    ).eval()  # so that a bridge that draws its number of tokens has the same products each time
    if not any(p.requires_grad for p in model.bridge.parameters()):
        return None
    batches = experiment.data.batches(1, 0)
    experiment.init_output_scale(model, batches)
    optimizer = build(config.optim, "optim")(parameter_groups(model), lr=1e-4)
    batch = on_device(next(iter(batches)), model)

    def step() -> None:
        bare_step(model, optimizer, batch)

    repeat = products_of(step)
    bare: list[float] = []
    products: list[float] = []
    for _ in range(STEPS):  # in turn, so that other load slows both alike
        for taken, call in ((bare, step), (products, repeat)):
            began = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
    step_seconds, product_seconds = (statistics.median(taken[WARM_UP:]) for taken in (bare, products))
    shares = filling(step)
    return [
        f"{1e3 * step_seconds:.0f}",
        f"{1e3 * product_seconds:.0f}",
        f"{step_seconds / product_seconds:.2f}",
        *(f"{shares[kind]:.0%}" for kind in FILLING),
    ]


def step_row(config: DictConfig, device: str) -> list[str] | None:
    """Return what follows a bridge's name under `STEP_COLUMNS`, or None if the bridge has nothing to train."""
    experiment = Experiment.set_up(config, device)
    model = experiment.model(0)
    trained = [p for p in model.parameters() if p.requires_grad]  # of blocks between layers of the T5 too
    if not trained:
        return None
    batches, bare = experiment.data.batches(STEPS, 0), experiment.model(0)
    experiment.init_output_scale(model, batches)
    experiment.init_output_scale(bare, batches)
    optimizer = build(config.optim, "optim")(parameter_groups(bare), lr=1e-4)
    in_turn = InTurn(
        batches,
        iter(experiment.data.batches(STEPS, 0)),
        lambda batch: bare_step(bare, optimizer, on_device(batch, bare)),
        torch.cuda.synchronize if device == "cuda" else lambda: None,
    )
    experiment.fit(model, in_turn, lr=1e-4, single_process=True)
    bare_seconds, training, ratio = (
        statistics.median(values[WARM_UP:])
        for values in (*in_turn.seconds, [b / a for a, b in zip(*in_turn.seconds, strict=True)])
    )
    tokens = bare.prefix(on_device(next(iter(experiment.data.batches(1, 0))), bare)).shape[1]
    return [
        f"{sum(p.numel() for p in trained):,}",
        str(tokens),
        f"{1e3 * bare_seconds:.0f}",
        f"{1e3 * training:.0f}",
        f"{ratio - 1:+.1%}",
    ]
