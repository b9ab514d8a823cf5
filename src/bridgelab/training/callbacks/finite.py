"""Stop a run before it harms itself: at a loss or gradient that is not finite, or where memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from bridgelab.data.batches import TrainingBatches
from bridgelab.runs.record import write_json

NOT_FINITE = "not_finite.json"


class Finite(pl.Callback):
    """Look at each step's loss and gradient before the optimizer does, so that neither weights nor `last.ckpt` take harm.

    Args:
        batches: that are trained on, to name the examples of the step.
        directory: for `not_finite.json`: step, loss, norm of the gradient, pool and ids.
    """

    def __init__(self, batches: TrainingBatches, directory: Path):
        self.batches, self.directory = batches, directory
        self.loss = torch.tensor(0.0)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss."""
        self.loss = loss.detach()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop if it is not finite.

        Raises:
            FloatingPointError: with the examples and what to try.
        """
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if torch.isfinite(self.loss) and torch.isfinite(norm):
            return
        batch = trainer.fit_loop.total_batch_idx // trainer.accumulate_grad_batches
        pool, ids = self.batches.told(batch)
        path = self.directory / NOT_FINITE
        found = {"step": trainer.global_step, "loss": float(self.loss), "gradient_norm": float(norm)}
        write_json(path, {name: str(value) for name, value in found.items()} | {"pool": pool, "ids": ids})
        raise FloatingPointError(
            f"step {trainer.global_step}: loss {float(self.loss):g}, norm of its gradient {float(norm):g}; both must be finite. "
            f"{path} names the {len(ids)} examples. Weights and last.ckpt are as before this step. Set train.lr or tune.lrs "
            "lower, train.schedule.warmup longer, or train.precision=fp32; where only some examples do it, look at these."
        )


@contextmanager
def memory_told(batch_size: int) -> Iterator[None]:
    """Say which settings need less, where a GPU's memory runs out.

    Args:
        batch_size: of all processes.
    Raises:
        MemoryError: in place of the GPU's own error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            f"the GPU's memory is full at batches of {batch_size}. Set trainer.accumulate_grad_batches higher (a batch is taken in "
            "so many parts, for the same steps), text.checkpointing=true, train.precision=bf16, text.device_map=auto to "
            f"spread the T5 over GPUs, or text.eight_bit=true; `bridgelab doctor` predicts what each takes. ({error})"
        ) from error
