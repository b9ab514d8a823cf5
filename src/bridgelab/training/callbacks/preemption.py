"""What a run does when its machine is about to be taken away: it finishes its step, saves, and only then obeys."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.ctrl_c import next_at_once
from bridgelab.training.lightning_module import step_is_done

# Slurm's warning before a time limit is what `--signal` says (submitit asks for USR2).
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
# SIGTERM comes before a kill, SIGINT is Ctrl-C, SIGHUP a terminal that is closed.
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
AGAIN = b"\nthe run finishes this step, saves and ends; Ctrl-C again ends it at once\n"
AGREED_EVERY = 10  # steps between two looks at whether another process was warned
log = logging.getLogger(__name__)


class Preemption(pl.Callback):
    """Put off signals that end a run until its step is done and `last.ckpt` is written, then obey.

    SIGUSR1 and SIGUSR2 go to whoever had asked for them: submitit and `launch.slurm.requeue_when_warned` queue the job again. SIGTERM,
    Ctrl-C and SIGHUP end the run; but after SIGTERM in a Slurm job it goes on until it is killed, since one that Slurm preempts
    is queued again only if it has not ended by itself. A second Ctrl-C ends it at once. What was ignored stays ignored. Of
    several processes all save after the same step, whichever of them was warned.

    Args:
        save: writes `last.ckpt`.
    """

    def __init__(self, save: Callable[[pl.Trainer], None]):
        self.save = save
        self.warned = self.saved = 0  # signals that came, and that the checkpoint was written for
        self.before: dict[int, Any] = {}
        # Now, since Lightning listens to SIGTERM once it trains, ignored or not.
        self.ignored = {n for n in (*WARNINGS, *ENDINGS) if signal.getsignal(n) == signal.SIG_IGN}

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take the signals that end a run, and the warnings that somebody listens to."""
        if threading.current_thread() is not threading.main_thread():
            return
        heard = {number: signal.getsignal(number) for number in (*WARNINGS, *ENDINGS)}
        # Lightning listens to SIGTERM by now; its word to the other processes is not meant for a run that saves.
        self.before = {n: old for n, old in heard.items() if callable(old) or n in ENDINGS}
        for number in self.before:
            signal.signal(number, signal.SIG_IGN if number in self.ignored else self._note)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, if it is time."""
        warned = self.warned
        if not step_is_done(trainer, batch_idx):
            return
        if trainer.world_size > 1:
            if trainer.global_step % AGREED_EVERY:
                return
            told = torch.tensor(warned, device=trainer.strategy.root_device)
            warned = int(trainer.strategy.reduce(told, reduce_op="max"))
        if not warned:
            return
        log.warning("%s: saving at step %d", signal.Signals(warned).name, trainer.global_step)
        self.save(trainer)
        self.warned, self.saved = 0, warned

    def on_train_batch_start(self, *_: Any) -> None:
        """Obey before another step, when the saved one's row is in the logs."""
        self._obey(self.saved)

    def on_train_end(self, *_: Any) -> None:
        """Obey what came at the last step."""
        self._obey(self.saved or self.warned)

    def _obey(self, number: int) -> None:
        if not number:
            return
        self.saved = self.warned = 0
        if number in WARNINGS:
            self.before[number](number, None)
        elif number != signal.SIGTERM or "SLURM_JOB_ID" not in os.environ:
            log.warning("stopped. The same command goes on from here.")
            raise SystemExit(128 + number)

    def teardown(self, *_: Any, **__: Any) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def _note(self, number: int, _: Any) -> None:
        self.warned = number
        if number == signal.SIGINT:
            next_at_once()
            if getattr(rank_zero_only, "rank", 0) == 0:
                os.write(
                    2, AGAIN
                )  # a handler may come in the middle of what prints, and a log's line with it
