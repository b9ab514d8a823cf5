import importlib.metadata
import os
import subprocess
from types import SimpleNamespace

import pytest

from bridgelab.doctor import machine
from bridgelab.doctor.check import MISSING, NOTE, OK


def test_packages_are_held_against_what_is_needed_and_what_was_tested(monkeypatch):
    there = {"torch": "2.15.0+cpu", "rich": "13.0", "numpy": "2.5.0", "extra": "1"}
    monkeypatch.setattr(machine, "version", there.get)
    needed = ["torch>=2.11", "rich>=13.9", "numpy>=2.0", "open_clip_torch>=3.2", "pytest>=8; extra == 'dev'"]
    pinned = {"torch": "2.15.0", "numpy": "2.4.6", "open-clip-torch": "3.3.0"}
    rich, clip, others, rest = machine.packages(needed, pinned)
    assert (rich.status, rich.detail) == (MISSING, "13.0, must be >=13.9")
    assert rich.fix == "pip install 'rich>=13.9'"
    assert (clip.status, clip.fix) == (MISSING, "pip install 'open_clip_torch>=3.2' -c constraints.txt")
    assert (others.status, others.detail) == (NOTE, "not the tested version: numpy 2.5.0 (2.4.6)")
    assert (rest.status, rest.detail) == (OK, "1 of the tested versions")


def test_pins_are_read_without_their_markers(tmp_path):
    (tmp_path / "constraints.txt").write_text(
        '# all\nOpen_CLIP.torch==3.3.0\ntriton==3.9.0 ; sys_platform == "linux"\n'
    )
    assert machine.pins(tmp_path / "constraints.txt") == {"open-clip-torch": "3.3.0", "triton": "3.9.0"}
    assert machine.pins(tmp_path / "none.txt") == {}


def test_python_is_held_against_what_the_package_asks_for(monkeypatch):
    assert machine.python().status == OK
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: {"Requires-Python": ">=4.0"})
    found = machine.python()
    assert found.status == MISSING
    assert found.detail.endswith("must be >=4.0")


def test_what_only_some_settings_need_is_no_fault(monkeypatch):
    monkeypatch.setattr(machine, "version", lambda name: "1.2" if name == "peft" else None)
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/bin/java" if name == "java" else None)
    found = {one.subject: one for one in machine.optional()}
    assert (found["peft"].status, found["java"].detail) == (OK, "/bin/java")
    assert {found[name].status for name in ("accelerate", "bitsandbytes", "slurm")} == {NOTE}
    assert found["bitsandbytes"].fix == "pip install bitsandbytes"


@pytest.mark.parametrize(("has", "fix"), [(True, ""), (False, "text.dtype=float32 vision.dtype=float32")])
def test_a_cpu_without_bf16_is_told_what_to_set(monkeypatch, has, fix):
    monkeypatch.setattr("bridgelab.model.bf16_is_fast", lambda device: has)
    assert machine.cpu().fix.endswith(fix)
    assert machine.cpu().status == (OK if has else NOTE)


def test_a_gpu_that_only_the_driver_sees_is_missing(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    answer = subprocess.CompletedProcess([], 0, "GPU 0: NVIDIA (UUID: x)\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *args, **kwargs: answer)
    (found,) = machine.gpus()
    assert found.status == MISSING
    monkeypatch.setattr(
        machine.subprocess, "run", lambda *args, **kwargs: subprocess.CompletedProcess([], 9, "")
    )
    (found,) = machine.gpus()
    assert found.status == NOTE


def test_a_full_disk_is_missing(tmp_path, monkeypatch):
    room = SimpleNamespace(free=2 * machine.LEAST_DISK)
    monkeypatch.setattr(machine.shutil, "disk_usage", {tmp_path.resolve(): room}.get)
    (found,) = machine.disk([tmp_path / "not" / "there" / "yet"])
    assert found.status == OK
    room.free = 10**9
    (found,) = machine.disk([tmp_path])
    assert (found.status, found.detail) == (MISSING, f"1.0 GB free in {tmp_path}, less than 5.0 GB")
    assert "BRIDGELAB_DATA" in found.fix


def test_memory_that_is_free_is_not_more_than_there_is():
    whole, free = machine.memory_bytes()
    assert 0 < free < whole <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_key_for_wandb_is_found_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "the-key")
    assert machine.wandb_login().status == OK
    assert "the-key" not in str(machine.wandb_login())
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert machine.wandb_login().status == NOTE
    (tmp_path / "netrc").write_text("machine wandb.example\n login user\n password the-key\n")
    found = machine.wandb_login()
    assert found.status == OK
    assert "the-key" not in str(found)


def test_this_process_holds_memory():
    assert 10**7 < machine.resident_bytes() <= machine.resident_bytes("VmHWM")
