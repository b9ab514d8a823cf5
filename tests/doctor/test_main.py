import subprocess
import sys

import pytest
from huggingface_hub import constants

from bridgelab.doctor import machine
from bridgelab.doctor import measurement as probe
from bridgelab.doctor.main import doctor


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """No network, no cache, no login."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_the_machine_alone(capsys):
    doctor([])
    told = capsys.readouterr().out
    for what in (
        "Python",
        "packages",
        "accelerate",
        "java",
        "slurm",
        "CPU",
        "memory",
        "GPU",
        "disk",
        "W&B",
        "miniature",
    ):
        assert f" {what} " in told
    assert "models and data" not in told


def test_a_run_of_the_miniature(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "ROUNDS", 1)
    monkeypatch.setattr(probe, "TIMES", 1)
    doctor(
        ["bridge=qformer", "train.batch_size=2", "evaluate.batch_size=2", "train.stages=[{share:1.0,answer:1.0}]",
         f"benchmark.root={tmp_path}/world", "seed=0,1"]
    )  # fmt: skip
    told = capsys.readouterr().out
    assert "7,500 images" in told
    assert "64 patches × 160 × 2 bytes" in told
    for what in ("vision", "text", "data", "features", "memory", "a step", "training", "tuning", "validation", "evaluation",
                 "one run", "the sweep"):  # fmt: skip
        assert f" {what} " in told
    assert " missing " not in told


def test_what_a_run_lacks_is_missing_with_a_fix(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "LEAST_DISK", 0)
    doctor(
        ["benchmark=clevr", f"benchmark.root={tmp_path}", "text.path=other/t5", "images=10+2", "trainer=gpu"]
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "missing text other/t5: not here, and HF_HUB_OFFLINE is set hf download other/t5" in told
    assert "missing data clevr:" in told
    assert "12 images" in told
    assert "missing size text.path=other/t5: its shape is not known" in told


@pytest.mark.parametrize("args", [["bridge=qfromer"], ["images=many"]])
def test_what_there_is_not_is_refused(args):
    with pytest.raises(ValueError, match="Give overrides as to `bridgelab train`"):
        doctor(args)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bridgelab.doctor.main import doctor\n"
        "try: doctor(['--help'])\n"
        "except SystemExit as end: sys.exit(end.code or bool({'torch', 'hydra', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: bridgelab doctor" in done.stdout
    assert "images=N" in done.stdout
