import os

import pytest

from bridgelab.launch.slots import available_cores, slot_environments, visible_gpus


@pytest.mark.parametrize(
    ("visible", "slots", "per_job", "expected"),
    [
        ("", None, 1, [None, None]),
        ("", 3, 1, [None] * 3),
        ("0,1,2", None, 1, ["0", "1", "2"]),
        ("4,5,6", None, 2, ["4,5"]),
        ("4,5,6", 2, 1, ["4", "5"]),
        ("GPU-a,GPU-b", None, 1, ["GPU-a", "GPU-b"]),
    ],
)
def test_slots_share_no_gpu(visible, slots, per_job, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = slot_environments(slots, per_job, threads=None)
    assert [one.get("CUDA_VISIBLE_DEVICES") for one in environments] == expected
    assert sum(int(one["OMP_NUM_THREADS"]) for one in environments) <= max(
        available_cores(), len(environments)
    )


def on(accelerator, devices=1):
    return {"accelerator": accelerator, "devices": devices}


def test_jobs_on_the_cpu_are_not_counted_by_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    on_cpu = slot_environments(4, 1, None, [on("cpu"), on("cpu", devices=2)])
    assert len(on_cpu) == 4
    assert not any("CUDA_VISIBLE_DEVICES" in one for one in on_cpu)  # features may be encoded on it
    assert len(slot_environments(None, 1, None, [on("cpu")])) == 2
    for accelerator in ("gpu", "cuda", "auto"):  # one such job is enough
        environments = slot_environments(None, None, None, [on("cpu", devices=2), on(accelerator)])
        assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == ["0"]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [([1, 2, 4], ["0,1,2,3", "4,5,6,7"]), ([1, -1], ["0,1,2,3,4,5,6,7"]), (["auto"], ["0,1,2,3,4,5,6,7"])],
)
def test_a_slot_has_the_gpus_of_the_job_that_takes_most(devices, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    environments = slot_environments(None, None, 1, [on("gpu", number) for number in devices])
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slots": 0, "gpus_per_job": 1}, "slots=0 is not positive. Set it to at least 1"),
        ({"slots": None, "gpus_per_job": 4}, "gpus_per_job=4 is more than the 2 GPUs there are. Set"),
        ({"slots": 3, "gpus_per_job": 1}, "slots=3 times gpus_per_job=1 is more than the 2 GPUs"),
    ],
)
def test_impossible_slots_are_refused(settings, message, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ValueError, match=message):
        slot_environments(**settings, threads=1)


def test_gpus_are_counted_without_torch(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g (UUID: x)'\necho 'GPU 1: A (UUID: GPU-2)'\n"
    )
    fake.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["0", "1"]
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == []
