"""Why validation is a callback: what Lightning's own validation would do to the points of a curve."""

import pytest
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel

from bridgelab.training.callbacks.validation_curve import ValidationCurve

STEPS = 12


class Order(pl.Callback):
    """Notes what happens after which step."""

    def __init__(self):
        self.events = []

    def on_train_batch_end(self, trainer, *_):
        self.events.append(("checkpoint", trainer.global_step))

    def on_validation_start(self, trainer, *_):
        self.events.append(("validation", trainer.global_step))


class WithModel(BoringModel):
    model = None


def fit(tmp_path, *callbacks, **choices):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        limit_train_batches=STEPS,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **choices,
    )
    trainer.fit(WithModel())


@pytest.mark.filterwarnings("ignore")
def test_points_are_evenly_spaced_up_to_the_last_step(tmp_path):
    curve = ValidationCurve(lambda _: {"val/accuracy": 0.5, "val/loss": 1.0}, points=5, files=[])
    fit(tmp_path, curve, limit_val_batches=0)
    assert curve.curve == [(step, 0.5) for step in (3, 5, 8, 10, 12)]
    # No interval of Lightning's has five points of which the last is the last step.
    for interval in range(1, STEPS + 1):
        lightning = Order()
        fit(tmp_path, lightning, limit_val_batches=1, val_check_interval=interval)
        points = [step for event, step in lightning.events if event == "validation"]
        assert len(points) != 5 or points[-1] != STEPS


@pytest.mark.filterwarnings("ignore")
def test_lightning_validates_after_the_callbacks_that_save(tmp_path):
    """So that a checkpoint of a step would lack the point of that step."""
    lightning = Order()
    fit(tmp_path, lightning, limit_val_batches=1, val_check_interval=3)
    assert lightning.events.index(("checkpoint", 3)) < lightning.events.index(("validation", 3))
