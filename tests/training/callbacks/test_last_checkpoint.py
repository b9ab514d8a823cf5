"""What `LastCheckpoint` does that Lightning's own ModelCheckpoint does not."""

import os

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.demos.boring_classes import BoringModel
from tiny_training import train

from bridgelab.training.callbacks.last_checkpoint import LastCheckpoint
from bridgelab.training.checkpoint import newest_readable

STEPS, EVERY = 12, 5


@pytest.fixture
def fit(tmp_path):
    """Train Lightning's own example for twelve steps, and give the steps of the checkpoints in the folder."""

    def fitted(callback, stop=STEPS):
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=stop,
            limit_train_batches=STEPS,
            limit_val_batches=0,
            callbacks=[callback],
            logger=False,
            enable_checkpointing=isinstance(callback, ModelCheckpoint),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(BoringModel())
        paths = tmp_path.glob("*.ckpt")
        return {path.name: torch.load(path, weights_only=False)["global_step"] for path in paths}

    return fitted


def lightnings_own(folder):
    return ModelCheckpoint(
        folder, filename="last", every_n_train_steps=EVERY, save_top_k=1, enable_version_counter=False
    )


@pytest.mark.filterwarnings("ignore")
def test_the_last_step_is_saved_though_it_is_no_multiple(fit, tmp_path):
    assert fit(lightnings_own(tmp_path)) == {"last.ckpt": 10}
    assert fit(LastCheckpoint(tmp_path / "last.ckpt", EVERY)) == {"last.ckpt": 12}


@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_checkpoint_has_one_before_it(fit, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    class StopAfter(LastCheckpoint):
        def on_train_batch_end(self, trainer, *args):
            super().on_train_batch_end(trainer, *args)
            if trainer.global_step == 11:
                raise Stop

    assert fit(lightnings_own(tmp_path)) == {"last.ckpt": 10}
    (tmp_path / "last.ckpt").write_bytes(b"spoiled")
    with pytest.raises(ValueError, match="can't be read"):
        newest_readable(tmp_path)
    (tmp_path / "last.ckpt").unlink()
    with pytest.raises(Stop):
        fit(StopAfter(tmp_path / "last.ckpt", EVERY))
    (tmp_path / "last.ckpt").write_bytes(b"spoiled")
    assert newest_readable(tmp_path) == (tmp_path / "previous.ckpt", 5)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, tiny_text, monkeypatch):
    """Also that of a smaller budget: else a power loss leaves an empty file and, after two saves, no other."""
    synced, renamed = set(), {}
    fsync, replace = os.fsync, os.replace

    def synced_now(file):
        synced.add(os.fstat(file).st_ino)
        fsync(file)

    def renamed_now(source, to):
        if str(to).endswith(".ckpt"):
            renamed.setdefault(to.name, []).append(source.stat().st_ino in synced)
        replace(source, to)

    monkeypatch.setattr(os, "fsync", synced_now)
    monkeypatch.setattr(os, "replace", renamed_now)
    train(tiny_text, tmp_path, save_every=5, budget={"branches": {tmp_path / "7.ckpt": 7}})
    assert renamed == {"last.ckpt": 3 * [True], "previous.ckpt": 2 * [True], "7.ckpt": [True]}


def test_a_rename_cut_short_leaves_the_former_checkpoint(tmp_path, tiny_text, monkeypatch):
    train(tiny_text, tmp_path)
    good = (tmp_path / "last.ckpt").read_bytes()

    def torn(self, path, **_):
        path.write_bytes(b"torn")
        raise OSError("disk full")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", torn)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(OSError, match="disk full"):
        LastCheckpoint(tmp_path / "last.ckpt", 1).save(trainer)
    assert (tmp_path / "last.ckpt").read_bytes() == good
