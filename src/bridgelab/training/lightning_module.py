"""The LightningModule of a bridge."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from bridgelab.model import is_frozen
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.runs.initial_weights import INIT_FROM
from bridgelab.runs.own_code import OWN_CODE
from bridgelab.training.dropout import has_dropout, seed_dropout

MAY_LACK = (INIT_FROM, OWN_CODE, "images", "choices")  # keys of an identity that a checkpoint may lack


class BridgeTraining(pl.LightningModule):
    """Train the trainable parameters of a model. Checkpoints hold these, and name the frozen ones by fingerprint.

    Args:
        model: a module that returns its loss for a batch, or several losses by name, whose sum is trained.
        optimizer: parameter groups -> optimizer.
        schedule: step -> factor on the learning rate.
        identity: what a checkpoint must share to be resumed: fingerprints and the hash of the config. It may lack those of `MAY_LACK`.
        earlier: the hash of the same config in checkpoints of earlier releases.
        seed: of dropout's masks, if the model drops anything.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        schedule: Callable[[int], float],
        identity: dict[str, str],
        earlier: str | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.seed, self.earlier = seed, earlier
        self.losses: list[dict[str, Tensor]] = []  # of this step's micro-batches so far
        self.has_dropout: bool | None = None  # not yet known: the model may not be in training mode
        self.model = model
        self.build_optimizer, self.schedule, self.identity = optimizer, schedule, identity

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a micro-batch, and log the mean over those of its step so far, on all processes."""
        loss = self.model(batch)
        losses = {}
        if isinstance(loss, dict):
            losses = {f"train/{name}": value.detach() for name, value in loss.items()}
            loss = torch.stack(list(loss.values())).sum()
        self.losses.append(losses | {"train/loss": loss.detach()})
        for name in self.losses[0]:
            mean = torch.stack([one[name] for one in self.losses]).mean()
            self.log(name, mean, prog_bar=name == "train/loss", sync_dist=self.trainer.world_size > 1)
        self.log("step", float(self.global_step + 1))  # Lightning itself counts from 0
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Log this step's learning rate and seed dropout. In later micro-batches, have the bridge repeat the draw of its step."""
        # Torch's generator is left alone for a model that drops nothing, so that its training stays what it was.
        micro_batch = batch_idx % self.trainer.accumulate_grad_batches
        if not micro_batch:
            self.losses = []
        if self.has_dropout is None:
            self.has_dropout = has_dropout(self.model)
        if self.has_dropout:
            seed_dropout(self.seed, self.global_step, micro_batch, self.global_rank)
        bridge: Any = getattr(self.model, "bridge", None)
        if micro_batch and hasattr(bridge, "repeat_draw"):
            bridge.repeat_draw()
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        """Return the optimizer of the trainable parameters, and its schedule by step."""
        optimizer = self.build_optimizer(parameter_groups(self.model))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.schedule), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the frozen weights, and add the identity."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if not is_frozen(name)}
        checkpoint["identity"] = dict(self.identity)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another run's checkpoint, put the frozen weights back, and count its steps in this trainer's micro-batches.

        Raises:
            ValueError: if the checkpoint names another config, vision encoder, language model, data, file of `bridge.init_from` or
                code of a user-defined bridge.
        """
        saved = checkpoint.get("identity", {})
        # A checkpoint from before they were named stands, and so does one of features that are not stored.
        saved = {key: self.identity[key] for key in MAY_LACK if key in self.identity} | saved
        if self.earlier and saved.get("config") == self.earlier:
            saved["config"] = self.identity["config"]
        differ = [key for key in self.identity if saved.get(key) != self.identity[key]]
        if differ:
            raise ValueError(
                f"the checkpoint has {', '.join(f'{k}={saved.get(k)}' for k in differ)}, this run "
                f"{', '.join(f'{k}={self.identity[k]}' for k in differ)}: a run resumes its own checkpoint "
                "alone. Move last.ckpt and previous.ckpt away to start from the beginning."
            )
        own = self.state_dict()
        checkpoint["state_dict"] |= {name: own[name] for name in own if is_frozen(name)}
        _count_micro_batches(checkpoint, self.trainer)


def step_is_done(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether a batch was the last of its step, if gradients are accumulated over several."""
    return (batch + 1) % trainer.accumulate_grad_batches == 0


def _count_micro_batches(checkpoint: dict[str, Any], trainer: pl.Trainer) -> None:
    """Set Lightning's count of batches to that of a trainer that has taken the checkpoint's steps.

    Lightning counts micro-batches, and their number in a step may have changed since the save.
    """
    step = checkpoint["global_step"]
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["current"], progress["total"]):
        # A checkpoint is written before its batch counts as completed.
        in_hand = counts["ready"] - counts["completed"]
        counts["ready"] = counts["started"] = counts["processed"] = step * trainer.accumulate_grad_batches
        counts["completed"] = counts["ready"] - in_hand
    progress["is_last_batch"] = step >= trainer.max_steps
