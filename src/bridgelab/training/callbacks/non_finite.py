"""Stop a run at a loss or gradient that is not finite."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from bridgelab.data.batches import TrainingBatches
from bridgelab.runs.record import write_json

NOT_FINITE = "not_finite.json"


class TerminateOnNonFinite(pl.Callback):
    """Check each step's loss and gradient before the optimizer uses them, so that the weights and `last.ckpt` stay intact.

    The gradient is that of all processes, so all of them stop; whichever writes the file last names all examples of the batch.

    Args:
        batches: the training batches, to name the examples of the step.
        directory: where `not_finite.json` is written: step, loss, gradient norm, pool and ids.
    """

    def __init__(self, batches: TrainingBatches, directory: Path):
        self.batches, self.directory = batches, directory
        self.loss = torch.tensor(0.0)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss."""
        self.loss = loss.detach()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Stop if the loss or the gradient is not finite.

        Raises:
            FloatingPointError: with the file that names the examples, and what to try.
        """
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if torch.isfinite(self.loss) and torch.isfinite(norm):
            return
        batch = trainer.fit_loop.total_batch_idx // trainer.accumulate_grad_batches
        pool, ids = self.batches.example_ids(batch)
        path = self.directory / NOT_FINITE
        values = {"step": trainer.global_step, "loss": float(self.loss), "gradient_norm": float(norm)}
        write_json(path, {name: str(value) for name, value in values.items()} | {"pool": pool, "ids": ids})
        raise FloatingPointError(
            f"step {trainer.global_step}: loss {float(self.loss):g}, norm of its gradient {float(norm):g}; both must be finite. "
            f"{path} names the {len(ids)} examples. Weights and last.ckpt are as before this step. Set train.lr or tune.lrs "
            "lower, train.schedule.warmup longer, or train.precision=fp32; where only some examples do it, look at these."
        )
