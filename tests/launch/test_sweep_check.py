"""What a sweep is warned of before its first job starts."""

import pytest
from omegaconf import OmegaConf

from bridgelab.launch.sweep_check import SweepJob, sweep_jobs, without_baseline

OWN = "bridge=linear,bridge._target_=my.B"


def jobs(study, names, baseline="linear", bridge="linear"):
    content = {"verdict": {"baseline": baseline}, "hydra": {"runtime": {"choices": {"bridge": bridge}}}}
    return [SweepJob(k, (), OmegaConf.create(content), study / name) for k, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "baseline", "told"),
    [
        (["bridge=mlp,seed=0", "bridge=qformer,seed=0"], "linear", "verdict.baseline=linear is no bridge of this sweep (mlp, qformer): "),
        (["bridge=linear,seed=0", "bridge=qformer,seed=0"], "linear", ""),
        (["bridge=qformer,seed=0", "bridge=qformer,seed=1"], "linear", ""),  # no second bridge to compare with
        ([OWN, "bridge=mlp"], "linear", "verdict.baseline=linear is no bridge of this sweep (my.B, mlp): "),
        ([OWN, "bridge=mlp"], "my.B", ""),
        (["seed=0", "bridge=mlp"], "linear", ""),  # the yaml's bridge
    ],
)  # fmt: skip
def test_a_sweep_of_several_bridges_without_its_baseline_is_warned_of(tmp_path, names, baseline, told):
    warning = without_baseline(jobs(tmp_path / "s", names, baseline))
    assert warning.startswith(told)
    assert bool(warning) == bool(told)


def test_a_baseline_that_the_study_has_is_not_missed(tmp_path):
    (tmp_path / "s" / "bridge=linear,seed=0").mkdir(parents=True)
    assert without_baseline(jobs(tmp_path / "s", ["bridge=mlp", "bridge=qformer"])) == ""


def test_a_sweep_of_another_app_has_no_verdict(tmp_path):
    assert without_baseline([SweepJob(0, (), OmegaConf.create({"seed": 0}), tmp_path / "seed=0")]) == ""


class Context:
    """Composes a job's config as Hydra does, with one folder for all jobs."""

    def __init__(self, folder):
        self.folder, self.config_loader = folder, self

    def load_sweep_config(self, config, overrides):
        sweep = {"dir": str(self.folder.parent), "subdir": self.folder.name}
        return OmegaConf.create({"hydra": {"job": {"config_name": "other"}, "sweep": sweep}})


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["evaluate.tokens=4", "evaluate.tokens=16"], r"differ in evaluate\.tokens alone, .*: bridgelab evaluate .*/a evaluate\.tokens=16$"),
        (["evaluate.num_beams=1", "evaluate.num_beams=5"], r"each value, each with a study=NAME of its own: bridgelab evaluate .*=5$"),
        (["compile=true", "compile=false"], r"differ in compile alone, .* Give one value\.$"),
        (["seed=0", "seed=0"], r"values are the same \(seed=0\)\. Give each value once; with Optuna, set hydra\.sweeper\.n_jobs=1\.$"),
    ],
)  # fmt: skip
def test_jobs_of_one_folder_are_told_what_its_name_leaves_out(tmp_path, overrides, told):
    launcher = {"_target_": "x", "finished": "metrics.json"}
    config = OmegaConf.create({"hydra": {"launcher": launcher}})
    with pytest.raises(
        ValueError, match=rf"^two of 2 jobs write to the same folder, {tmp_path}/a\. Th.*{told}"
    ):
        sweep_jobs(Context(tmp_path / "a"), config, [[one] for one in overrides], 0)
