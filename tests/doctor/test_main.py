import subprocess
import sys

import pytest
from huggingface_hub import constants

from bridgelab.doctor import dry_run, machine
from bridgelab.doctor.main import doctor


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """No network, no cache, no login."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_the_machine_alone(capsys):
    doctor([])
    printed = capsys.readouterr().out
    for what in (
        "Python",
        "packages",
        "accelerate",
        "peft",
        "java",
        "slurm",
        "CPU",
        "memory",
        "GPU",
        "disk",
        "W&B",
        "miniature",
    ):
        assert f" {what} " in printed
    assert "models and data" not in printed


def test_a_run_of_the_miniature(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "REPEATS", 1)
    doctor(
        ["bridge=qformer", "train.batch_size=2", "evaluate.batch_size=2", "train.stages=[{share:1.0,answer:1.0}]",
         f"benchmark.root={tmp_path}/world", "seed=0,1"]
    )  # fmt: skip
    printed, told = capsys.readouterr()
    assert "measuring a training step, answers and encoding on" in told
    assert "7,500 images" in printed
    assert "a million images" not in printed
    assert "(64 patches × 160 in bfloat16)" in printed
    for what in ("vision", "text", "data", "features", "memory", "a step", "training", "tuning", "validation", "evaluation",
                 "one run", "the sweep"):  # fmt: skip
        assert f" {what} " in printed
    assert " missing " not in printed


def test_what_a_run_lacks_is_missing_with_a_fix(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "LEAST_DISK", 0)
    doctor(
        ["benchmark=clevr", f"benchmark.root={tmp_path}", "text.path=other/t5", "images=10+2", "trainer=gpu"]
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "missing text other/t5: not here, and HF_HUB_OFFLINE is set hf download other/t5" in printed
    assert "missing data clevr:" in printed
    assert "12 images" in printed
    assert "missing size text.path=other/t5: its shape is not known" in printed


@pytest.mark.parametrize(
    ("arg", "match"),
    [
        (
            "bridge._target_=bridgelab.bridge.mlp.Mlp",
            r"bridgelab\.bridge\.mlp has no class Mlp\. Did you mean MLP\?",
        ),
        ("bridge=qfromer", r"bridge=qfromer: must be one of .*\. Did you mean qformer\?"),
        ("images=many", "images=many: there is no key images"),
    ],
)
def test_what_there_is_not_is_refused(arg, match):
    with pytest.raises(ValueError, match=match):
        doctor([arg])


def test_a_sweep_whose_slots_are_not_numbers_is_refused():
    with pytest.raises(ValueError, match=r"^hydra\.launcher\.gpus_per_job='auto': must be a"):
        doctor(["hydra.launcher.gpus_per_job=auto", "seed=0,1"], multirun=True)


@pytest.mark.parametrize("kind", ["images", "examples"])
def test_more_numbers_than_splits_are_refused(kind):
    with pytest.raises(ValueError, match=rf"{kind}=1\+2\+3\+4: give one number, or those of train and test"):
        doctor([f"{kind}=1+2+3+4"])


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bridgelab.cli.main import main\n"
        "try: main(['doctor', '--help'])\n"
        "except SystemExit as end: sys.exit(end.code or bool({'torch', 'hydra', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: bridgelab doctor" in done.stdout
    assert "images=N" in done.stdout
