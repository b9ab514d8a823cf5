"""What a table's runs share: planted differences are refused, those that are swept or allowed are told."""

import re
import shlex
import shutil
from io import StringIO

import pytest
import yaml
from rich.console import Console

from bridgelab.cli import main as cli
from bridgelab.report.caveats import caveats
from bridgelab.report.summary import summarize
from bridgelab.report.write import report
from bridgelab.runs.comparability import covers
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.run_name import overrides
from bridgelab.runs.study import read_study
from bridgelab.statistics.verdict import rows_to_compare, verdict

SMALL = {"linear": {"exist": 0.7}, "mlp": {"exist": 0.7}, "blind": {"exist": 0.4}, "words": {"exist": 0.9}}
CONFIG = {
    "bridge": {"_target_": "a"}, "vision": {"layer": -1, "weights": "/a/vit.safetensors"}, "benchmark": {"root": "data", "question_prompt": "{question}"},
    "train": {"steps": 400, "batch_size": 16, "save_every": 100}, "tune": {"steps": 150}, "evaluate": {"limit": {"answer": 1000}},
    "trainer": {"accelerator": "cpu"}, "text": {"checkpointing": False, "device_map": None}, "data_seed": 0,
}  # fmt: skip


def configure(run, **groups):
    """Write a run's config.yaml: `CONFIG` with some groups' values changed."""
    name = overrides(run.name)
    made = {key: value | groups.get(key, {}) if isinstance(value, dict) else value for key, value in CONFIG.items()}  # fmt: skip
    made |= {key: value for key, value in groups.items() if key not in CONFIG}
    made["bridge"] = {"_target_": name["bridge"]} | groups.get("bridge", {})
    (run / "config.yaml").write_text(yaml.safe_dump(made | {"seed": int(name["seed"])}))


@pytest.fixture
def study(simulated):
    path = simulated.write(bridges=SMALL, images=6)
    for run in path.iterdir():
        configure(run)
    return path


def test_what_runs_differ_in_by_nature_or_in_vain_is_no_difference(study):
    configure(
        study / "bridge=mlp,seed=1",
        benchmark={"root": "elsewhere"},
        vision={"weights": "b/vit.safetensors"},
        train={"save_every": 5},
        trainer={"accelerator": "gpu"},
        text={"checkpointing": True, "device_map": {"encoder": 0, "decoder": 1}},
    )
    assert read_study(study).allowed == ()


def test_a_trainer_that_clips_elsewhere_is_a_difference(study):
    for run in study.iterdir():
        configure(run, trainer={"gradient_clip_val": 0.1 if "bridge=mlp" in run.name else 1.0})
    with pytest.raises(
        ValueError, match=r"^trainer\.gradient_clip_val=0\.1 in bridge=mlp,seed=0, but 1\.0 in"
    ):
        read_study(study)


def test_a_budget_is_part_of_its_bridge(study):
    """It chooses the bridge's tokens or width, as the bridge's own keys could."""
    for run in study.iterdir():
        configure(run, budget={"tokens": 16 if "mlp" in run.name else None})
    assert read_study(study).allowed == ()
    configure(study / "bridge=mlp,seed=1", budget={"tokens": 8})
    with pytest.raises(
        ValueError, match=r"budget\.tokens=8 in bridge=mlp,seed=1, but 16 in bridge=mlp,seed=0"
    ):
        read_study(study)


@pytest.mark.parametrize(
    ("group", "key", "value", "was"),
    [
        ("benchmark", "question_prompt", "Q: {question}", "'{question}'"),
        ("tune", "steps", 900, "150"),
        ("evaluate", "limit", {"answer": 7}, "1000"),
        ("vision", "layer", -2, "-1"),
        ("train", "batch_size", 64, "16"),
        ("bridge", "width", 64, "32"),
    ],
)
def test_a_choice_in_which_runs_differ_is_refused_with_both_values_and_the_fix(study, group, key, value, was):
    if group == "bridge":  # of one bridge's own runs, not of two bridges
        for run in study.glob("bridge=mlp*"):
            configure(run, bridge={"width": 32})
    configure(study / "bridge=mlp,seed=1", **{group: {key: value}})
    with pytest.raises(ValueError, match="in bridge=mlp,seed=1, but ") as error:
        read_study(study)
    name = f"{group}.{key}" + (".answer" if key == "limit" else "")
    said = str(error.value)
    assert said.startswith(f"{name}={value['answer'] if key == 'limit' else value!r} in ")
    assert f"but {was} in bridge=" in said
    assert f"says: bridgelab report {study} --allow {name}" in said
    assert len(read_study(study, allow=[name]).allowed) == 1


def test_what_follows_from_a_choice_is_not_told_twice_and_is_allowed_with_it(study, change):
    run = study / "bridge=mlp,seed=1"
    configure(run, train={"steps": 800})
    change(run, examples_seen=128000, mixture={"answer": 0.7, "caption": 0.2})
    with pytest.raises(ValueError, match=r"train.steps=800 in bridge=mlp,seed=1, but 400") as error:
        read_study(study)
    assert "examples_seen" not in str(error.value)
    told = read_study(study, allow=["train.steps"]).allowed
    assert [line.split(":")[0] for line in told] == ["train.steps"]
    # Another cause of the same kind is not covered.
    change(run, fingerprints={"vision": "aa", "text": "bb", "data": "zz"})
    with pytest.raises(ValueError, match=r"fingerprints.data='zz'"):
        read_study(study, allow=["train.steps"])


def test_rows_need_not_share_what_they_have_none_of(study):
    for seed in range(3):
        configure(study / f"bridge=blind,seed={seed}", vision={"layer": -3})
    configure(study / "bridge=words,seed=0", train={"steps": 9}, vision={"layer": -3})
    assert read_study(study).allowed == ()


def test_a_choice_that_an_older_version_did_not_have_is_no_difference(study):
    configure(study / "bridge=mlp,seed=1", evaluate={"num_beams": 1})
    assert read_study(study).allowed == ()


def test_a_bridge_may_bring_its_insert_and_each_seed_weights_of_its_own(study, change):
    for seed in range(3):
        own = {"insert": "cross_attention", "init_from": f"runs/aligned/seed={seed}/weights.safetensors"}
        configure(study / f"bridge=mlp,seed={seed}", bridge=own)
        change(study / f"bridge=mlp,seed={seed}", insert="cross_attention")
    assert read_study(study).allowed == ()
    configure(
        study / "bridge=mlp,seed=1", bridge=own | {"init_from": "runs/other/seed=1/weights.safetensors"}
    )
    with pytest.raises(ValueError, match=r"^bridge\.init_from='runs/other/seed=N/weights"):
        read_study(study)
    configure(study / "bridge=mlp,seed=1", bridge={"init_from": own["init_from"]})
    with pytest.raises(ValueError, match=r"^insert=.* bridge=mlp,seed=1"):
        read_study(study)


def test_what_was_allowed_stands_under_every_form_of_the_table(study, capsys):
    configure(study / "bridge=mlp,seed=1", train={"steps": 800})
    assert cli.main(["report", str(study)]) == 2
    assert "--allow train.steps" in capsys.readouterr().err
    note = (
        "Differs between the runs above, and was allowed to: train.steps: 400 in bridge=blind,seed=0 and 7 more, "
        "800 in bridge=mlp,seed=1."
    )
    out = StringIO()
    paths = report(study, allow=["train.steps"], console=Console(file=out, width=300))
    assert note in " ".join(out.getvalue().split())
    assert note in paths["page"].read_text()
    (advised,) = re.findall(r"bridgelab (report .*)", out.getvalue())
    assert cli.main(shlex.split(advised)) == 0
    capsys.readouterr()
    for form in ("csv", "latex"):
        assert cli.main(["report", str(study), "--allow", "train.steps", "--format", form]) == 0
        assert note in capsys.readouterr().out.replace("\\_", "_").replace("\\", "")


def test_a_name_that_no_run_has_is_not_allowed(study):
    with pytest.raises(ValueError, match=r"--allow train.stepz: no run of .* has such a key"):
        read_study(study, allow=["train.stepz"])


@pytest.fixture
def swept(simulated, change):
    """Two sizes of training, swept: linear, mlp, blind and words at both."""
    path = simulated.write(bridges=SMALL, images=40)
    other = simulated.write("other", bridges=SMALL, images=40, draw=1)
    for folder, steps in ((path, 400), (other, 800)):
        for run in list(folder.iterdir()):
            configure(run, train={"steps": steps})
            name = f"{run.name},train.steps={steps}"
            trained = {"examples_seen": 16 * steps} if "words" not in name else {}
            change(run, overrides=name, **trained)
            shutil.move(run, path / name)
    (path / "multirun.yaml").write_text(
        "hydra: {sweeper: {params: {bridge: 'linear,mlp,blind,words', seed: '0,1,2'}}, "
        "overrides: {task: ['train.steps=400,800']}}"
    )
    return path


def test_what_a_study_sweeps_makes_rows_of_its_own(swept):
    study = read_study(swept)
    assert study.allowed == ()
    assert study.missing == ()
    levels = ("train.steps=400", "train.steps=800")
    assert study.bridges == tuple(f"{b}, {level}" for b in SMALL for level in levels)
    assert rows_to_compare(study, "linear") == {f"mlp, {level}": f"linear, {level}" for level in levels}
    found = verdict(study)
    assert found.comparators == ("mlp, train.steps=400", "mlp, train.steps=800")
    rows = {row.name: row for row in summarize(study, intervals=False).rows}
    for level in levels:
        linear, mlp, blind, words = (rows[f"{name}, {level}"].accuracy["all"].value for name in SMALL)
        assert float(found.cells[f"mlp, {level}", "all"].contrast.value) == pytest.approx(linear - mlp)
        assert rows[f"linear, {level}"].gap["all"].value == pytest.approx((linear - blind) / (words - blind))
    assert rows["blind, train.steps=400"].label == "floor: blind, train.steps=400"


def test_within_a_level_of_what_is_swept_all_is_alike(swept, change):
    change(swept / "bridge=mlp,seed=1,train.steps=800", examples_seen=5)
    with pytest.raises(ValueError, match=r"examples_seen=5 in bridge=mlp,seed=1,train.steps=800, but 12800"):
        read_study(swept)


def test_a_cell_that_is_missing_at_a_level_is_named(swept):
    shutil.rmtree(swept / "bridge=mlp,seed=1,train.steps=800")
    assert [str(one) for one in read_study(swept).missing] == [
        "bridge=mlp,seed=1,train.steps=800: not started"
    ]


def test_a_sweep_is_known_from_the_names_of_its_runs_too(swept):
    (swept / "multirun.yaml").unlink()
    assert len(read_study(swept).bridges) == 8
    # One bridge at one level, another at the other: that is no sweep.
    for run in swept.iterdir():
        if ("linear" in run.name) == ("800" in run.name):
            shutil.rmtree(run)
    with pytest.raises(ValueError, match=r"train.steps=400 in bridge=linear,.*, but 800 in"):
        read_study(swept)


def test_a_report_of_a_sweep_names_the_levels(swept):
    out = StringIO()
    page = report(swept, console=Console(file=out, width=220))["page"].read_text()
    assert "linear − mlp, train.steps=800" in page
    # At both levels, so said once.
    assert "Architecture, linear against mlp: visual tokens alike (64)" in page


def adapted(study, change, run, level):
    """Make a run one with text.adapt at a level, of 100 parameters."""
    configure(run, text={"path": "t5", **({} if level == "none" else {"adapt": level})})
    costs = read_record(run)["costs"]
    more = {"adapter_parameters": 100, "trainable_parameters": costs["trainable_parameters"] + 100}
    more = more if level != "none" else {}  # as an older run
    name = f"{run.name},text.adapt={level}"
    change(run, overrides=name, costs=costs | more, **({"adapt": level} if more else {}))
    shutil.move(run, study / name)


def test_an_adapter_that_is_not_swept_is_refused(study, change):
    for run in sorted(study.iterdir()):
        configure(run, text={"adapt": "lora"} if "linear" in run.name else {"path": "t5"})
    with pytest.raises(ValueError, match=r"text\.adapt='lora' in bridge=linear,seed=0, but 'none' in"):
        read_study(study)


def test_levels_of_an_adapter_have_floors_of_their_own(simulated, change):
    """Sweeping it leaves what is frozen to be the same, and a floor of another level is none."""
    study = simulated.write(bridges=SMALL, images=6)
    lora = simulated.write("lora", bridges=SMALL, images=6, draw=1)
    for folder, level in ((study, "none"), (lora, "lora")):
        for run in list(folder.iterdir()):
            if level == "none" or "words" not in run.name:  # a simulated ceiling trains nothing
                adapted(study, change, run, level)
    found = read_study(study)
    assert found.counterpart("mlp, text.adapt=lora", "blind") == "blind, text.adapt=lora"
    assert rows_to_compare(found, "linear") == {
        f"mlp, text.adapt={level}": f"linear, text.adapt={level}" for level in ("none", "lora")
    }
    said = " ".join(caveats(found))
    assert (
        "LoRA with 100 parameters is trained in blind, text.adapt=lora; linear, text.adapt=lora; mlp, "
        in said
    )
    assert "No blind floor" not in said
    change(study / "bridge=mlp,seed=1,text.adapt=lora", fingerprints={"vision": "aa", "text": "other"})
    with pytest.raises(ValueError, match=r"fingerprints\.text='other' in bridge=mlp"):
        read_study(study)
    change(study / "bridge=mlp,seed=1,text.adapt=lora", fingerprints={"vision": "aa", "text": "bb"})
    for run in study.glob("bridge=blind,*lora"):
        shutil.rmtree(run)
    found = read_study(study)
    assert found.counterpart("mlp, text.adapt=lora", "blind") is None
    said = " ".join(caveats(found))
    assert "No blind floor with the same text.adapt: linear, text.adapt=lora; mlp, text.adapt=lora." in said
    rows = {row.name: row for row in summarize(found, intervals=False).rows}
    assert rows["mlp, text.adapt=none"].gap
    assert not rows["mlp, text.adapt=lora"].gap


def test_what_a_factor_covers():
    assert covers("text", "fingerprints.text")
    assert covers("text.path", "fingerprints.text")
    assert not covers("text.adapt", "fingerprints.text")
    assert not covers("text.lora.rank", "fingerprints.text")
    assert covers("train.steps", "train.steps")
    assert covers("train.steps", "mixture.answer")
    assert covers("vision", "vision.layer")
    assert covers("vision.layer", "fingerprints.vision")
    assert covers("benchmark.images.train", "fingerprints.data")
    assert not covers("train.steps", "train.stages")
    assert not covers("train.steps", "fingerprints.data")
    assert not covers("train", "trainer.devices")
    assert not covers("vision", "fingerprints.text")
