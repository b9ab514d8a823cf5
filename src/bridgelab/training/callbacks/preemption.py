"""Signals that end a run: finish the step, save, then obey."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.ctrl_c import exit_on_next
from bridgelab.training.lightning_module import step_is_done

# Slurm's warning before a time limit, by its option `--signal` (submitit uses USR2).
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
# SIGTERM comes before a kill, SIGINT is Ctrl-C, SIGHUP means that the terminal was closed.
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
AGAIN = b"\nthe run finishes this step, saves and ends; Ctrl-C again ends it at once\n"
STOPPED = "stopped. The same command resumes from here."
log = logging.getLogger(__name__)


class Preemption(pl.Callback):
    """Defer signals that end a run until its step is done and `last.ckpt` is written, then obey them.

    SIGUSR1 and SIGUSR2 are passed to the handlers that were installed before: submitit and `launch.slurm.requeue_when_warned`
    queue the job again. SIGTERM, Ctrl-C and SIGHUP end the run. After SIGTERM in a Slurm job the run continues until it is
    killed, because Slurm queues a preempted job again only if it has not ended by itself. A second Ctrl-C ends the run at once.
    Signals that were ignored stay ignored. Several processes all save after the same step, whichever received the signal.

    Args:
        save: writes `last.ckpt`; None for a trial, which saves nothing: it defers SIGTERM alone, and obeys it after its step.
    """

    def __init__(self, save: Callable[[pl.Trainer], None] | None):
        self.save, self.numbers = save, (*WARNINGS, *ENDINGS) if save else (signal.SIGTERM,)
        self.received = self.saved = 0  # the last signal, and the signal for which the checkpoint was written
        # Those that were installed before, while this handles their signals.
        self.handlers: dict[int, Any] = {}
        # Asked now, because Lightning handles SIGTERM once it trains, ignored or not, and restores its own before `teardown`.
        self.before = {number: signal.getsignal(number) for number in self.numbers}

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Handle the signals that end a run, and the warnings that have a handler."""
        if threading.current_thread() is not threading.main_thread():
            return
        # This replaces Lightning's handler of SIGTERM, which would stop the other processes before they save.
        self.handlers = {
            n: handler for n, handler in self.before.items() if callable(handler) or n in ENDINGS
        }
        for number, handler in self.handlers.items():
            signal.signal(number, signal.SIG_IGN if handler == signal.SIG_IGN else self._note)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a signal was received."""
        received = self.received
        if not step_is_done(trainer, batch_idx):
            return
        # Asked at each step, as Lightning asks for SIGTERM: several steps may outlast the time before a kill.
        if trainer.world_size > 1:
            own = torch.tensor(received, device=trainer.strategy.root_device)
            received = int(trainer.strategy.reduce(own, reduce_op="max"))
        if not received:
            return
        if self.save:
            log.warning("%s: saving at step %d", signal.Signals(received).name, trainer.global_step)
            self.save(trainer)
        self.received, self.saved = 0, received

    def on_train_batch_start(self, *_: Any) -> None:
        """Obey before the next step, when all loggers have the row of the saved one."""
        self._obey(self.saved)

    def on_train_end(self, *_: Any) -> None:
        """Obey a signal received at the last step."""
        self._obey(self.saved or self.received)

    def _obey(self, number: int) -> None:
        if not number:
            return
        self.saved = self.received = 0
        if number in WARNINGS:
            self.handlers[number](number, None)
        elif number != signal.SIGTERM or "SLURM_JOB_ID" not in os.environ:
            log.warning(STOPPED)
            raise SystemExit(128 + number)

    def teardown(self, *_: Any, **__: Any) -> None:
        """Restore the handlers that were installed before."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _note(self, number: int, _: Any) -> None:
        self.received = number
        if number == signal.SIGINT:
            exit_on_next()
            if getattr(rank_zero_only, "rank", 0) == 0:
                os.write(2, AGAIN)  # unlike a log call, safe when the handler interrupts printing
