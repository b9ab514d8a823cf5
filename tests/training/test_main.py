import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tiny_experiment import BRIDGES

from bridgelab.bridge.weights import write_weights
from bridgelab.config.check import declared
from bridgelab.evaluation.load import load_trained
from bridgelab.runs.identity import INDIFFERENT, config_hash
from bridgelab.runs.locks import locked
from bridgelab.runs.own_code import own_code
from bridgelab.runs.record import write_json
from bridgelab.runs.study import read_study
from bridgelab.training import experiment as settings
from bridgelab.training import main
from bridgelab.training import run as run_module
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.training.sole_process import is_first

CONF = Path(__file__).parents[2] / "conf"


def test_a_study_of_runs_leaves_complete_records(tiny, config, tmp_path):
    captioned = "evaluate.captioned=describe left to right"
    for bridge in BRIDGES:
        for seed in (0, 1) if bridge in ("linear", "words") else (0,):
            given = config(f"bridge={bridge}", f"seed={seed}", "study=toy", captioned)
            main.run(given, tmp_path / "toy" / f"bridge={bridge},seed={seed}", bridge=bridge)
    study = read_study(tmp_path / "toy")  # the analysis takes all of them as comparable and paired
    assert set(study.bridges) == set(BRIDGES)
    records = {run.name: run.record for run in study.runs}
    linear = records["bridge=linear,seed=0"]
    assert linear["examples_seen"] == 24 == sum(linear["mixture"].values())
    assert [step for step, _ in linear["curve"]] == [2, 4, 6]
    assert [budget["steps"] for budget in linear["budgets"]] == [3, 6]
    assert all(0 <= budget["value"] <= 1 for budget in linear["budgets"])
    assert linear["tuned_over"] == sorted(map(float, given.tune.lrs))
    assert linear["lr"] == records["bridge=linear,seed=1"]["lr"]
    trials = list((tmp_path / "toy" / "tune").glob("Linear-*/*.json"))
    assert len(trials) == len(linear["tuning"]["trials"]) >= 3
    assert {"vision", "text", "data"} == set(linear["fingerprints"])
    assert {
        "test/accuracy",
        "test/cider",
        "test/caption_attributes",
        "test/majority",
        "test_shuffled/accuracy",
        "test_captioned/accuracy",
    } <= set(linear["metrics"])
    assert linear["costs"]["visual_tokens"] == 4
    assert linear["costs"]["train_seconds"] > 0
    words = records["bridge=words,seed=0"]
    assert (words["steps"], words["sees"], words["lr"]) == (0, "words", None)
    assert not any(name.startswith("test_shuffled") for name in words["metrics"])
    # What trains nothing is evaluated once for all seeds, of the same choices.
    again = records["bridge=words,seed=1"]
    assert again["seed"] == 1
    assert again["costs"] == words["costs"]
    assert again["metrics"] == words["metrics"]
    assert records["bridge=words_patch_like,seed=0"]["costs"] != words["costs"]
    for run in study.runs:
        files = {path.name for path in run.path.iterdir()}
        assert {"config.yaml", "metrics.json", "predictions.parquet"} <= files
        assert (run.bridge in ("words", "words_patch_like")) != {"last.ckpt", "metrics.csv"}.issubset(files)
    rows = pd.read_parquet(study.runs[0].path / "predictions.parquet")
    assert {
        "id",
        "image",
        "kind",
        "view",
        "prompt",
        "target",
        "prediction",
        "score",
        "likelihood",
        "majority",
    } <= set(rows)
    assert {"tag_type", "tag_family", "tag_program_length", "tag_hops", "tag_objects"} <= set(rows)
    assert set(rows["kind"]) == {"answer", "caption"}
    assert (rows["likelihood"] < 0).all()


def test_a_bridge_begins_with_the_weights_that_it_is_given(tiny, config, tmp_path):
    first = settings.Experiment.set_up(config("bridge=mlp"), "cpu").model(0).bridge.state_dict()
    write_weights(first, tmp_path / "mlp.safetensors")
    given = config("bridge=mlp", f"bridge.init_from={tmp_path}/mlp.safetensors")
    begun = settings.Experiment.set_up(given, "cpu").model(1).bridge.state_dict()
    assert all(torch.equal(begun[name], weights) for name, weights in first.items())
    # Without a step it is evaluated as it is, with no search; and can be asked as a trained one.
    untrained = config("bridge=mlp", f"bridge.init_from={tmp_path}/mlp.safetensors", "train.steps=0")
    main.run(untrained, tmp_path / "toy" / "bridge=mlp", bridge="mlp")
    assert not (tmp_path / "toy" / "tune").exists()
    (only,) = read_study(tmp_path / "toy").runs
    told = {key: only.record[key] for key in ("steps", "examples_seen", "lr", "tuned_over", "curve")}
    assert told == {"steps": 0, "examples_seen": 0, "lr": None, "tuned_over": [], "curve": []}
    assert "test/accuracy" in only.record["metrics"]
    _, _, asked = load_trained(only.path)
    assert all(torch.equal(asked.bridge.state_dict()[name], weights) for name, weights in first.items())
    assert asked.scale > 0
    other = config("bridge=linear", f"bridge.init_from={tmp_path}/mlp.safetensors")
    with pytest.raises(ValueError, match=r"mm_projector\.0\.weight.* are not in this bridge"):
        settings.Experiment.set_up(other, "cpu")


def test_a_run_goes_on_from_all_that_another_has_trained(tiny, config, tmp_path):
    chosen = (
        "bridge=mlp", "model.positions=true", "model.insert=cross_attention", "text.adapt=prompt", "text.prompt_tokens=2",
        "train.lr=0.01", "train.budgets=[]",
    )  # fmt: skip
    first = tmp_path / "first" / "bridge=mlp"
    main.run(config(*chosen), first, bridge="mlp")
    _, _, trained = load_trained(first)
    start = f'bridge.init_from="{first}/last.ckpt"'
    # Other data, whose patches have other moments, and another seed.
    data = ("benchmark.images.train=5", f"benchmark.root={tmp_path}/other", "seed=1")
    model = settings.Experiment.set_up(config(*chosen, *data, start), "cpu").model(1)
    begun, ended = model.trained_state(), trained.trained_state()
    assert begun.keys() == ended.keys()
    assert {"mean", "std", "scale", "positions", "soft_prompt"} < set(begun)
    for name, value in ended.items():
        assert torch.equal(begun[name], value), name
    for left_out, message in (
        ("model.positions=false", r"^positions of the run that bridge\.init_from names is missing here, and .*Set model\.positions"),
        ("text.adapt=none", r"^soft_prompt of the run .*Set model\.positions, model\.insert and text\.adapt as they were"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            settings.Experiment(config(*chosen, left_out, start), "cpu")
    # What it adds begins as in a run from scratch.
    plain = tmp_path / "plain" / "bridge=mlp"
    main.run(config("bridge=mlp", "train.lr=0.01", "train.budgets=[]"), plain, bridge="mlp")
    more = config(
        "bridge=mlp", "text.adapt=prompt", "text.prompt_tokens=2", f'bridge.init_from="{plain}/last.ckpt"'
    )
    experiment = settings.Experiment(more, "cpu")
    assert experiment.backbones.not_loaded == ["soft_prompt"]


def test_a_users_own_bridge_is_trained(tiny, config, tmp_path, monkeypatch):
    readme = (CONF.parent / "README.md").read_text()
    (tmp_path / "readmes_module.py").write_text(readme.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    given = config("bridge=linear", "bridge._target_=readmes_module.MyBridge", "+bridge.width=5")
    main.run(given, tmp_path / "run", bridge="readmes_module.MyBridge")
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["bridge"] == "readmes_module.MyBridge"
    assert record["costs"]["visual_tokens"] == 4
    assert record["own_code"] == own_code(given)
    trained = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    trials = [json.loads(path.read_text()) for path in (tmp_path / "tune").glob("*/*.json")]
    assert {one["own_code"] for one in (trained["identity"], *trials)} == {own_code(given)}


def test_budgets_are_kept(tiny, config, tmp_path):
    def bridge(*overrides):
        return settings.Experiment.set_up(config(*overrides), "cpu").model(0).bridge

    assert bridge("bridge=qformer", "budget.tokens=5").num_queries == 5
    assert bridge("bridge=blind", "budget.tokens=5", "budget.params=70000").num_tokens == 5
    assert bridge("bridge=words", "budget.tokens=5").num_tokens == 0
    for name, parameters in (("mlp", 70_000), ("qformer", 64_000)):
        made = bridge(f"bridge={name}", f"budget.params={parameters}")
        assert sum(p.numel() for p in made.parameters()) == pytest.approx(parameters, rel=0.02)
    with pytest.raises(ValueError, match=r"budget\.tokens=5: Linear outputs one token per patch, 4"):
        bridge("bridge=linear", "budget.tokens=5")


def test_a_finished_run_is_left_alone_and_anothers_directory_refused(tiny, config, tmp_path, monkeypatch):
    given = config("train.lr=0.001", "evaluate.shuffled=false")
    attempts = []  # of which a job on Slurm asks whether they make progress
    monkeypatch.setattr(main, "begin_attempt", lambda *places: attempts.append(places))
    monkeypatch.setattr(main, "end_attempt", lambda: attempts.append("ended"))
    accuracy = main.run(given, tmp_path / "run", bridge="linear")
    assert attempts == [(tmp_path / "run", Path(given.paths.features)), "ended"]
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    assert json.loads(before)["tuned_over"] == [0.001]
    rows = pd.read_csv(tmp_path / "run" / "metrics.csv").dropna(subset="val/accuracy")
    assert accuracy == pytest.approx(rows["val/accuracy"].iloc[-1], rel=1e-6)
    other = config("train.lr=0.002")
    with pytest.raises(
        ValueError, match=r"another config .* differ in evaluate\.shuffled, train\.lr.*study=NAME"
    ):
        main.run(other, tmp_path / "run", bridge="linear")
    monkeypatch.setattr(run_module, "train_and_evaluate", None)
    assert main.run(given, tmp_path / "run", bridge="linear") == accuracy
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_a_run_that_another_study_has_finished_is_not_trained_again(tiny, config, tmp_path, monkeypatch):
    first = config("train.lr=0.001", "study=first")
    accuracy = main.run(first, tmp_path / "first" / "run", bridge="linear")
    monkeypatch.setattr(run_module, "train_and_evaluate", None)
    second = config("train.lr=0.001", "study=second", f"paths.reuse={tmp_path}/first")
    assert main.run(second, tmp_path / "second" / "run", bridge="linear") == accuracy
    first, taken = (read_study(tmp_path / study).runs[0].record for study in ("first", "second"))
    assert (taken["study"], taken["taken_from"]) == ("second", "first/run")
    assert taken["metrics"] == first["metrics"]
    with pytest.raises(ValueError, match=r"paths\.reuse=nowhere is not a folder"):
        main.run(config("study=third", "paths.reuse=nowhere"), tmp_path / "third", bridge="linear")


def test_thawed_weights_are_found_out(tiny, config, tmp_path, tiny_text, monkeypatch):
    given = config("train.lr=0.001", "evaluate.shuffled=false")
    shared = tiny_text.model.shared.weight.data.clone()
    fit = settings.Experiment.fit

    def thaw(self, model, *args, **kwargs):
        found = fit(self, model, *args, **kwargs)
        self.backbones.text.model.shared.weight.data += 1
        return found

    monkeypatch.setattr(settings.Experiment, "fit", thaw)
    with pytest.raises(RuntimeError, match=r"fingerprints were .*frozen weights must not change"):
        main.run(given, tmp_path / "run", bridge="linear")
    assert not (tmp_path / "run" / "metrics.json").exists()
    # What was trained is not lost to a correction of its evaluation, nor to data that moved.
    tiny_text.model.shared.weight.data = shared
    monkeypatch.setattr(settings.Experiment, "fit", fit)
    monkeypatch.setattr(BridgeTraining, "training_step", lambda *_: pytest.fail("trained again"))
    (tmp_path / "moved").symlink_to(given.benchmark.root)
    mended = config("train.lr=0.001", "evaluate.num_beams=2", f"benchmark.root={tmp_path}/moved")
    main.run(mended, tmp_path / "run", bridge="linear")
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").evaluate.num_beams == 2
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (record["steps"], record["config_hash"]) == (6, config_hash(mended))


def test_bad_input_is_refused_before_training(tiny, config, tmp_path, monkeypatch):
    def untouched(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(settings.Experiment, "fit", untouched)
    for overrides, match in (
        (("train.precision=fp16",), r"train\.precision='fp16': must be one of auto, bf16 or fp32"),
        (
            ("bridge=perceiver", "bridge.num_heads=5", "bridge.head_dim=null"),
            r"num_heads=5 does not divide vision_dim=6",
        ),
        (("tune.lrs=[0.1]",), r"tune\.lrs=\[0\.1\] has 1 values"),
        (
            ("train.batch_size=4", "trainer.devices=3"),
            r"train\.batch_size=4 is not divisible by 3, .*devices",
        ),
        (("trainer.accelerator=tpu",), r"Lightning refuses this trainer: .*Choose another trainer=NAME"),
        (
            ("train.stages=[{share: 1, captoin: 1, answer: 1}]",),
            r"train\.stages\[0\]\.captoin: there is no such key, it must be one of share, answer, cap",
        ),
        (
            ("train.simple_objects=0", "train.stages=[{simple_caption: 1}, {answer: 1}]"),
            r"draws from none of the pools that have examples \(answer\)",
        ),
        (("evaluate.captioned=describe",), r"captioned='describe': must be one of .*describe left to right"),
        (("model.insert=decoder",), r"model\.insert='decoder': must be one of encoder_input"),
        (("bridge._target_=os.system",), r"_target_: os\.system may not be built"),
        (
            ("bridge._target_=my_modul.MyBridge",),
            r"there is no module my_modul\. Name a class of .*current folder",
        ),
        (
            ("bridge._target_=bridgelab.bridge.mlp.Mlp",),
            r"bridgelab\.bridge\.mlp has no class Mlp\. Did you mean MLP\?",
        ),
        (("optim._target_=torch.optim.AdmW",), r"torch\.optim has no class AdmW\. Did you mean Adam"),
    ):
        with pytest.raises(ValueError, match=match):
            main.run(config(*overrides), tmp_path / str(hash(overrides)), bridge="x")
    for name, value in {"JOB_ID": "1", "JOB_NAME": "x", "NTASKS": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)  # and no srun
    with pytest.raises(ValueError, match=r"Lightning refuses this trainer: .*`--ntasks=2`"):
        main.run(config("bridge=linear"), tmp_path / "slurm", bridge="x")


def test_a_refused_run_leaves_its_folder_to_the_config_that_is_mended(tiny, config, tmp_path):
    given, folder = ("bridge=perceiver", "train.steps=0", "evaluate.shuffled=false"), tmp_path / "run"
    refused = config(*given, "bridge.num_heads=5", "bridge.head_dim=null")
    with pytest.raises(ValueError, match=r"num_heads=5 does not divide vision_dim=6"):
        main.run(refused, folder, bridge="perceiver", overrides=given)
    main.run(config(*given), folder, bridge="perceiver", overrides=given)
    assert (folder / "metrics.json").exists()


def test_a_run_without_a_checkpoint_measures_its_smaller_budgets_again(tiny, config, tmp_path):
    stale = {"steps": 3, "value": 7.0, "train_seconds": 1.0}
    (tmp_path / "run" / "budgets").mkdir(parents=True)
    write_json(tmp_path / "run" / "budgets" / "3.json", stale)
    main.run(config("train.lr=0.001", "evaluate.shuffled=false"), tmp_path / "run", bridge="linear")
    budgets = json.loads((tmp_path / "run" / "metrics.json").read_text())["budgets"]
    assert [budget["steps"] for budget in budgets] == [3, 6]
    assert stale not in budgets


def test_help_and_composition_need_no_torch_and_an_error_is_one_line(tmp_path):
    script = """if True:
        import sys, bridgelab.training.main as m
        from hydra import compose, initialize_config_dir
        with initialize_config_dir(str(m.ROOT / 'conf'), version_base='1.3'):
            compose('train')
        print('torch' in sys.modules, flush=True)
        m.main()
    """
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", script, "train.steps=-1"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 1
    log = "runs/scratch/train.steps=-1/train.log"
    assert re.fullmatch(rf"False\n\[\d\d:\d\d:\d\d\] failed; the traceback is in {log}\n", done.stdout)
    assert re.fullmatch(r"ValueError: train\.steps=-1.*\n", done.stderr)
    logged = (tmp_path / log).read_text()
    assert "Traceback" in logged
    assert done.stderr in logged


def test_a_bridge_is_named_by_its_class_where_the_command_line_chooses_that(config):
    """The yaml's name would be that of another bridge, also for a class of this package that has no yaml yet."""
    for target in ("bridgelab.bridge.mlp.MLP", "mine.Bridge"):
        given = f"bridge._target_={target}"
        assert main.bridge_name(config("bridge=linear", given), ["bridge=linear", given], "linear") == target
    assert main.bridge_name(config("bridge=mlp"), ["bridge=mlp", "seed=1"], "mlp") == "mlp"


def test_a_run_is_named_by_its_overrides():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        # As a full GPU is told to set.
        less = ["+text.device_map=auto", "+trainer.accumulate_grad_batches=2", "text.checkpointing=true"]
        job = compose("train", ["text=flan_t5_xl", *less], return_hydra_config=True).hydra.job
    assert job.override_dirname == "text=flan_t5_xl"
    kept = job.config.override_dirname.exclude_keys
    corrected = {key for key in declared() if key.startswith("evaluate.")}
    assert {*INDIFFERENT, *corrected} <= set(kept), "what may change leaves the folder's name as it is"
    free = (
        "compile",
        "text.checkpointing",
        "text.device_map",
        "trainer.accumulate_grad_batches",
        "question",
        "hypothesis",
        "logger",
        "verdict",
        "paths",
        "data.max_skipped",
    )
    named = {
        "logger",
        *(key for key in declared() for name in free if key == name or key.startswith(f"{name}.")),
    }
    groups = {"paths", "verdict", *(key for key in named if re.search(r"^logger\.\w+$|\._\w+_$", key))}
    # Recorded runs have verdict.baseline in their names.
    assert named - groups - {"verdict.baseline"} <= set(kept)
    assert "logger.artifact" in kept
    studies = [OmegaConf.load(path) for path in CONF.parent.glob("experiments/*.yaml")]
    swept = {key for study in studies for key in OmegaConf.select(study, "hydra.sweeper.params") or {}}
    assert "text.adapt" in swept
    assert not {"verdict.baseline", "trainer", "budget.tokens", *swept} & set(kept)
    assert OmegaConf.create({"a": "${run_name:'bridge=mlp,root=/a/b'}"}).a == "bridge=mlp,root=_a_b"
    assert OmegaConf.create({"a": "${run_name:''}"}).a == "defaults"
    for study in ("../../x", "/tmp/x", "a/../../x"):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = compose("train", [f"study={study}"], return_hydra_config=True).hydra
        for folder in ("run.dir", "sweep.dir"):  # Hydra makes it before a run is begun
            with pytest.raises(OmegaConfBaseException, match=r"leads out of paths\.runs: give a name"):
                OmegaConf.select(hydra, folder)
    long = [main.run_name(f"bridge=linear,seed={k}," + 300 * "a") for k in (0, 1)]
    assert long[0] != long[1]
    assert all(len(name) < 255 and name.startswith("bridge=linear") for name in long)


def test_a_run_that_another_process_is_at_is_not_begun(tiny, config, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    with (
        locked(tmp_path / "run" / "lock"),
        pytest.raises(
            ValueError, match=r"run is being run by another process.* resumes from its last checkpoint"
        ),
    ):
        main.run(config(), tmp_path / "run", bridge="linear")
    with monkeypatch.context() as later, locked(tmp_path / "other" / "lock"):
        later.setattr(rank_zero_only, "rank", 0)  # which Lightning sets for the whole process
        later.setenv("LOCAL_RANK", "1")  # a further process of the run that holds it
        two = ("trainer.devices=2", "trainer.strategy=ddp")
        main.run(config("bridge=words", *two), tmp_path / "other", bridge="words")
    assert is_first({})
    assert is_first({"LOCAL_RANK": "0", "SLURM_PROCID": "0"})
    assert not is_first({"SLURM_PROCID": "1"})
    assert is_first({"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "SLURM_PROCID": "1"})
    assert is_first({"LOCAL_RANK": "0", "RANK": "0", "GROUP_RANK": "0", "NODE_RANK": "0"})
    for second_machine in ({"RANK": "2", "GROUP_RANK": "1"}, {"NODE_RANK": "1"}):
        assert not is_first({"LOCAL_RANK": "0", **second_machine})
