import torch

from bridgelab.device import local_device, trainer_device


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device(3).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    assert [local_device(k).index for k in range(6)] == [0, 1, 2, 3, 0, 1]
    monkeypatch.setenv("SLURM_LOCALID", "2")  # of Slurm's tasks on several machines
    assert local_device(7).index == 2


def test_a_cpu_trainer_stays_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert trainer_device("cpu").type == "cpu"
    assert [trainer_device(name) for name in ("gpu", "cuda", "auto")] == [torch.device("cuda", 1)] * 3
