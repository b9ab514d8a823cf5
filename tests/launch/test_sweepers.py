"""Sweeper plugins read what jobs of the pool return."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bridgelab.launch.job_return import finished_job

ROOT = Path(__file__).parents[2]

APP = """
import json, pathlib
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(config):
    folder = pathlib.Path(HydraConfig.get().runtime.output_dir)
    if config.number == 7:
        raise FloatingPointError("diverged")
    accuracy = 1 - (config.number - 3) ** 2 / 100
    (folder / "metrics.json").write_text(json.dumps({"curve": [[5, 0.1], [10, accuracy]]}))

if __name__ == "__main__":
    main()
"""

CONF = f"""
defaults: [_self_, {{override hydra/launcher: pool}}, {{override hydra/sweeper: optuna}}, {{override hydra/sweeper/sampler: grid}}]
number: 0
study: tiny
hydra:
  searchpath: ["file://{ROOT}/conf"]
  launcher: {{command: [tiny_app], slots: 2, gpus_per_job: 1, preload: [json]}}
  sweeper: {{direction: maximize, n_trials: 4, n_jobs: 2, max_failure_rate: 0.5, params: {{number: "choice(0, 2, 3, 7)"}}}}
  run: {{dir: "runs/${{study}}/${{hydra.job.override_dirname}}"}}
  sweep: {{dir: "runs/${{study}}", subdir: "${{hydra.job.override_dirname}}"}}
  job: {{chdir: false}}
"""


def test_optuna_maximizes_the_validation_accuracy_of_the_pools_jobs(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="hydra-optuna-sweeper is not installed")
    (tmp_path / "tiny_app.py").write_text(APP)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.yaml").write_text(CONF)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    finished = tmp_path / "runs" / "tiny" / "number=3"  # a finished run returns what its record holds
    finished.mkdir(parents=True)
    (finished / "metrics.json").write_text('{"curve": [[10, 0.5]]}')
    done = subprocess.run(
        [sys.executable, "-m", "tiny_app", "--multirun"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 2 jobs are finished already" in done.stdout
    assert (
        "Failed experiment: number=7 failed, and its log is in runs/tiny/number=7."
        in done.stdout + done.stderr
    )
    best = OmegaConf.load(tmp_path / "runs" / "tiny" / "optimization_results.yaml")
    assert (best.best_params, best.best_value) == ({"number": 2}, 0.99)


@pytest.mark.parametrize(
    ("record", "value"),
    [
        ('{"curve": [[5, 0.1], [10, 0.25]]}', 0.25),
        ('{"curve": []}', None),  # nothing was trained
        ("torn", None),
        (None, None),
    ],
)
def test_a_job_returns_the_last_validation_of_its_record(tmp_path, record, value):
    if record:
        (tmp_path / "metrics.json").write_text(record)
    job = finished_job(["seed=1"], tmp_path)
    assert (job.return_value, job.overrides) == (value, ["seed=1"])
