import os
import signal
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback
from tiny_training import train

from bridgelab.launch import slurm as queue
from bridgelab.runs.record_schema import read_record
from bridgelab.training import main
from bridgelab.training.callbacks.preemption import Preemption
from bridgelab.training.checkpoint import LAST
from bridgelab.training.experiment import Experiment


class Trainer:
    world_size, global_step, accumulate_grad_batches = 1, 0, 1


@pytest.fixture
def heard():
    """What reaches the handlers that were there before a training began."""
    found = []
    before = {
        number: signal.signal(number, lambda n, _: found.append(n))
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_waits_for_the_step_and_the_checkpoint(heard, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    saved = []
    callback = Preemption(lambda _: saved.append(list(heard)))
    callback.on_train_start(Trainer())
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert (saved, heard) == ([], [])
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    assert (saved, heard) == ([[]], [])  # saved first
    callback.on_train_batch_start(Trainer())
    assert heard == [signal.SIGUSR1]
    callback.on_train_batch_start(Trainer())
    assert heard == [signal.SIGUSR1]
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    assert len(saved) == 1
    os.kill(os.getpid(), signal.SIGTERM)
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    assert len(saved) == 2
    with pytest.raises(SystemExit, match="143"):
        callback.on_train_batch_start(Trainer())
    os.kill(os.getpid(), signal.SIGUSR1)  # after the last step
    callback.on_train_end(Trainer())
    assert heard == [signal.SIGUSR1] * 2
    callback.teardown()
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGUSR1] * 2 + [signal.SIGTERM]


def test_several_processes_save_after_the_step_of_a_signal_that_one_of_them_received(heard, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    saved, asked = [], iter((0, signal.SIGTERM))
    others = SimpleNamespace(root_device="cpu", reduce=lambda own, reduce_op: own.clamp(min=next(asked)))
    trainer = SimpleNamespace(world_size=2, global_step=10, accumulate_grad_batches=1, strategy=others)
    callback = Preemption(lambda trainer: saved.append(trainer.global_step))
    callback.on_train_start(trainer)
    for _ in range(2):
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, None, None, None, 0)
    assert saved == [12]
    with pytest.raises(SystemExit, match="143"):
        callback.on_train_batch_start(trainer)
    callback.teardown()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_save_first(number, heard, monkeypatch, capfd, caplog):
    monkeypatch.setenv("SLURM_JOB_ID", "1")  # nobody queues it again after these
    saved = []
    callback = Preemption(saved.append)
    callback.on_train_start(Trainer())
    os.kill(os.getpid(), number)
    if number == signal.SIGINT:
        assert "saves and ends; Ctrl-C again ends it at once" in capfd.readouterr().err
        assert signal.getsignal(number) == signal.SIG_DFL
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    assert len(saved) == 1
    with pytest.raises(SystemExit, match=str(128 + number)):
        callback.on_train_batch_start(Trainer())
    assert "The same command resumes from here" in caplog.text
    callback.teardown()
    assert heard == []
    assert callable(signal.getsignal(number))


def test_what_was_ignored_stays_ignored(heard):
    """As SIGHUP by nohup; Lightning listens to SIGTERM whatever it was before."""
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    callback = Preemption(lambda _: None)
    signal.signal(signal.SIGTERM, lambda *_: heard.append("Lightning"))
    callback.on_train_start(Trainer())
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_IGN
    assert (callback.received, heard) == (0, [])
    callback.teardown()


def test_slurms_sigterm_does_not_end_a_run(heard, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    saved = []
    callback = Preemption(saved.append)
    callback.on_train_start(Trainer())
    os.kill(os.getpid(), signal.SIGTERM)
    callback.on_train_batch_end(Trainer(), None, None, None, 0)
    callback.on_train_batch_start(Trainer())
    assert len(saved) == 1
    callback.teardown()


def test_nobody_listens_to_a_signal_that_nobody_listened_to_before(monkeypatch):
    before = signal.getsignal(signal.SIGUSR2)
    callback = Preemption(lambda _: None)
    callback.on_train_start(Trainer())
    assert signal.getsignal(signal.SIGUSR2) == before == signal.SIG_DFL
    callback.teardown()


def test_a_run_that_is_ended_goes_on_where_it_was_to_the_same_weights(
    tiny, config, tmp_path, monkeypatch, caplog
):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    given = config("bridge=mlp", "train.lr=0.01", "train.save_every=100", "train.log_every=1")
    main.run(given, tmp_path / "whole", bridge="mlp")
    validate, steps = Experiment.validate, []

    def stopping(self, model):
        steps.append(1)
        if len(steps) == 1:  # at the second of six steps
            raise KeyboardInterrupt
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(self, model)

    monkeypatch.setattr(Experiment, "validate", stopping)
    with pytest.raises(KeyboardInterrupt):  # not the exit that Lightning makes of it
        main.run(given, tmp_path / "cut", bridge="mlp")
    assert not (tmp_path / "cut" / LAST).exists()
    with pytest.raises(SystemExit, match="143"):
        main.run(given, tmp_path / "cut", bridge="mlp")
    assert torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"] == 2
    began = torch.load(tmp_path / "cut" / LAST, weights_only=True)
    told = began["callbacks"]["LastCheckpoint"]["attempts"]
    (first,) = told.values()
    own = first["precision"]
    other = "fp32" if own == "bf16" else "bf16"
    first.update(precision=other, seconds=1e4)
    torch.save(began, tmp_path / "cut" / LAST)
    main.run(given, tmp_path / "cut", bridge="mlp")
    assert f"was trained in {other} so far and goes on in {own}" in caplog.text
    record = read_record(tmp_path / "cut")
    assert record["costs"]["wall_seconds"] == pytest.approx(
        sum(one["seconds"] for one in record["attempts"]), abs=5
    )
    assert 1e4 < record["costs"]["wall_seconds"] < 1.1e4, (
        "no attempt counts twice, though cool-downs start from its checkpoints"
    )
    assert (len(record["attempts"]), record["precision"]) == (2, f"{other}, {own}")
    assert "attempts" not in read_record(tmp_path / "whole")
    states = [
        torch.load(tmp_path / name / LAST, weights_only=True)["state_dict"] for name in ("whole", "cut")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (tmp_path / "cut" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


@pytest.mark.parametrize("on_slurm", [False, True])
def test_a_trial_ends_after_its_step_and_on_slurm_when_it_is_killed(tiny_text, on_slurm, monkeypatch, caplog):
    """Without a status its job would count as done; on Slurm one that ends by itself is not queued again."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if on_slurm:
        monkeypatch.setenv("SLURM_JOB_ID", "1")

    class SendAt(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    if on_slurm:
        train(tiny_text, extra=[SendAt()])
    else:
        with pytest.raises(SystemExit, match="143"):
            train(tiny_text, extra=[SendAt()])
    assert ("The same command resumes from here" in caplog.text) == (not on_slurm)
    assert "saving" not in caplog.text
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_job_that_slurm_warns_is_queued_again(tmp_path, monkeypatch):
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name, value in {"JOB_ID": "7", "ARRAY_JOB_ID": "5", "ARRAY_TASK_ID": "3", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    before = signal.getsignal(signal.SIGUSR1)
    queue.requeue_when_warned()
    os.kill(os.getpid(), signal.SIGTERM)  # Slurm preempts it, and kills it in the end
    if not (forked := os.fork()):
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == -signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert (tmp_path / "asked").read_text().split() == ["requeue", "5_3"]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    queue.requeue_when_warned()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    signal.signal(signal.SIGUSR1, before)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")  # it does so itself
    queue.requeue_when_warned()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) == before


def test_what_slurm_refuses_is_said(tmp_path, monkeypatch):
    for name in ("scontrol", "squeue"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such job >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(RuntimeError, match="scontrol requeue 7: no such job"):
        queue.requeue()
    with pytest.raises(RuntimeError, match=r"squeue --me .*: no such job"):
        queue.states()
