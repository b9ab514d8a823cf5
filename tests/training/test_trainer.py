import importlib

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.config.compose import compose_config
from bridgelab.config.root import config_root
from bridgelab.training.sole_process import RANKS
from bridgelab.training.trainer import STEP_TASKS, check_trainer, trainer_builder

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0", "WORLD_SIZE": "2"}


def slurm(tasks, task=0, name="train"):
    """Variables of a task of `srun --ntasks-per-node`."""
    numbers = {"JOB_ID": 7, "NTASKS": tasks, "NTASKS_PER_NODE": tasks, "STEP_NUM_TASKS": tasks, "NNODES": 1}
    places = {"PROCID": task, "LOCALID": task, "NODEID": 0}
    return {f"SLURM_{key}": str(value) for key, value in {**numbers, **places, "JOB_NAME": name}.items()}


@pytest.fixture
def launched(monkeypatch):
    """Sets a launcher's variables, and returns the config of a trainer of some processes on the CPU."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which Lightning sets for the whole process

    def set_up(environment, devices, nodes=1):
        for name in (*RANKS, "WORLD_SIZE", "MASTER_ADDR", STEP_TASKS):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        strategy = "auto" if devices * nodes == 1 else "ddp"
        choices = {"accelerator": "cpu", "devices": devices, "num_nodes": nodes, "strategy": strategy}
        return OmegaConf.create({"_target_": "pytorch_lightning.Trainer", "_partial_": True, **choices})

    return set_up


@pytest.mark.parametrize(
    "environment",
    [
        TORCHRUN | {"RANK": "1", "LOCAL_RANK": "1"} | slurm(1),  # torchrun in a batch job of one task
        slurm(2, task=1, name="interactive"),  # srun in a shell of salloc
        slurm(2, task=1),
    ],
)
def test_the_second_process_of_a_launcher_is_the_second_of_the_run(launched, environment):
    config = launched(environment, devices=2)
    assert check_trainer(config) == 2
    trainer = trainer_builder(config)(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    assert (trainer.global_rank, trainer.local_rank, trainer.world_size) == (1, 1, 2)


def test_torchrun_may_give_the_first_rank_to_a_later_task_of_slurm(launched):
    environment = TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"} | slurm(1) | {"SLURM_PROCID": "1"}
    assert check_trainer(launched(environment, devices=2)) == 2


@pytest.mark.parametrize(
    ("environment", "devices", "match"),
    [
        (slurm(2, task=0), 1, r"SLURM_STEP_NUM_TASKS=2\) do not fit trainer\.devices=1 .* Start 1 \(srun"),
        (slurm(2, task=1), 1, r"SLURM_PROCID=1, .*or choose trainer=ddp or trainer=multinode"),
        (slurm(4, task=3, name="interactive"), 2, r"SLURM_PROCID=3, .* do not fit trainer\.devices=2"),
        (slurm(1), 2, r"SLURM_NTASKS=1, .* do not fit trainer\.devices=2 .*--ntasks-per-node=2"),
        (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"}, 1, r"WORLD_SIZE=2\) do not fit trainer\.devices=1"),
        ({"LOCAL_RANK": "1"}, 1, r"\(LOCAL_RANK=1\) do not fit trainer\.devices=1"),
        (
            slurm(2) | {STEP_TASKS: "1"},
            2,
            r"SLURM_NTASKS=2, .* do not fit trainer\.devices=2 .*Start 2 \(srun",
        ),  # sbatch without srun
    ],
)
def test_processes_that_are_not_those_of_the_trainer_are_refused(launched, environment, devices, match):
    with pytest.raises(ValueError, match=match):
        check_trainer(launched(environment, devices))


def test_machines_that_nobody_starts_are_not_waited_for(launched):
    match = r"no launcher started the processes of trainer\.devices=1 times trainer\.num_nodes=2: .*Start 2 \(srun"
    with pytest.raises(ValueError, match=match):
        check_trainer(launched({}, devices=1, nodes=2))
    assert (
        check_trainer(launched({"MASTER_ADDR": "first"}, devices=1, nodes=2)) == 2
    )  # with NODE_RANK, Lightning's own way


@pytest.mark.parametrize(
    ("module", "kind", "batch", "advice"),
    [
        ("training", "Experiment", 64, 63),
        ("alignment", "AlignmentExperiment", 64, 63),
        ("alignment", "AlignmentExperiment", 3, 6),
    ],
)
def test_devices_that_do_not_divide_a_batch_are_refused_before_anything_is_read(
    monkeypatch, tmp_path, module, kind, batch, advice
):
    part = importlib.import_module(f"bridgelab.{module}.experiment")
    monkeypatch.setattr(part, "check_trainer", lambda _: 3)
    monkeypatch.setattr(part, "Backbones", None)
    given = [
        "bridge=qformer",
        "trainer.devices=auto",
        f"train.batch_size={batch}",
        f"benchmark.root={tmp_path}/none",
    ]
    config = compose_config(
        config_root() / "conf", {"training": "train", "alignment": "align"}[module], given
    )
    with pytest.raises(
        ValueError,
        match=rf"^train\.batch_size={batch}: .* 3 processes that trainer\.devices=auto gives here .*={advice}, ",
    ):
        getattr(part, kind)(config, "cpu")
    assert not list(tmp_path.iterdir())
