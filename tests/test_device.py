import torch
from omegaconf import OmegaConf

from bridgelab.device import local_device, trainer_device
from bridgelab.training.trainer import trainer_builder


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device(3).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    assert [local_device(k).index for k in range(6)] == [0, 1, 2, 3, 0, 1]
    monkeypatch.setenv("SLURM_LOCALID", "2")  # of Slurm's tasks on several machines
    assert local_device(7).index == 2


def test_a_trial_trains_on_its_processs_own_gpu_in_the_parts_of_all_processes(monkeypatch):
    trainer = {
        "_target_": "pytorch_lightning.Trainer",
        "_partial_": True,
        "devices": 4,
        "num_nodes": 1,
        "strategy": "ddp",
    }
    config = OmegaConf.create(trainer | {"accelerator": "gpu", "accumulate_grad_batches": 3})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "2")
    given = trainer_builder(config, single_process=True, processes=4).keywords
    assert (given["devices"], given["accumulate_grad_batches"]) == ([2], 12)
    config.accelerator = "cpu"
    assert trainer_builder(config, single_process=True, processes=4).keywords["devices"] == 1


def test_a_cpu_trainer_stays_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert trainer_device("cpu").type == "cpu"
    assert [trainer_device(name) for name in ("gpu", "cuda", "auto")] == [torch.device("cuda", 1)] * 3
