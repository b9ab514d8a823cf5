"""`bridgelab study --add` repeats a study's training with another bridge, and refuses what would not be comparable."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from simulated_study import TRUTH

from bridgelab.cli import main as cli
from bridgelab.cli import train
from bridgelab.cli.added_row import added_row
from bridgelab.cli.arguments import UsageError
from bridgelab.cli.overrides import check_training, conf_folder
from bridgelab.cli.row_checks import check_name, check_start
from bridgelab.config.compose import compose_sweep
from bridgelab.config.root import config_root
from bridgelab.launch.sweep_plan import Planned, write_plan
from bridgelab.report.next_steps import next_steps
from bridgelab.report.summary import summarize
from bridgelab.runs import warm_start_files
from bridgelab.runs.recorded_study import unpack
from bridgelab.runs.study import read_study
from bridgelab.runs.sweep import last_overrides, swept

SWEPT = (
    "experiments=first_look_tiny",
    "bridge=linear,mlp",
    "seed=0,1,2",
    "paths.runs=elsewhere",
    "study=first_look",
)


@pytest.fixture
def study(simulated):
    """A finished study with the file in which Hydra keeps its sweep."""
    path = simulated.write(images=30)

    def begin(*overrides):
        content = {"hydra": {"sweeper": {"params": None}, "overrides": {"task": list(overrides)}}}
        (path / "multirun.yaml").write_text(yaml.safe_dump(content))
        return path

    return begin


def test_a_row_is_trained_as_the_study_was(study):
    path = study(*SWEPT)
    place = ["study=first_look", f"paths.runs={path.parent}"]
    same = ["experiments=first_look_tiny", "seed=0,1,2"]
    assert added_row(path, ["bridge=c_abstractor"]) == [*same, "bridge=c_abstractor", *place]
    own = ["bridge._target_=mine.Bridge", "+bridge.width=8", "budget.tokens=16"]
    assert added_row(path, own) == [*same, "bridge=linear", *own, *place]
    swept = study("bridge=linear,mlp", "seed=0,1,2", "train.steps=5")
    assert added_row(swept, ["bridge=qformer"]) == [
        "-m",
        "seed=0,1,2",
        "train.steps=5",
        "bridge=qformer",
        *place,
    ]
    alike = study("bridge=linear_pooled,qformer", "seed=0,1,2", "budget.tokens=16")
    assert added_row(alike, ["bridge=perceiver"])[2:4] == ["budget.tokens=16", "bridge=perceiver"]
    assert added_row(alike, ["bridge=mlp", "budget.tokens=null"])[2:4] == [
        "bridge=mlp",
        "budget.tokens=null",
    ]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (["seed=3,4"], "seed=0,1,2,3,4"),  # the last sweep added some
        (["seed=2"], "seed=0,1,2"),  # or did one again that was missing, as bridgelab status advises
        (["experiments=first_look_tiny"], "seed=0,1,2"),  # whose yaml has other seeds
        (["seed=1,choice(0,1)"], "seed=1,choice(0,1)"),
    ],
)
def test_a_row_gets_the_seeds_of_the_study_and_not_of_its_last_sweep_alone(study, change, last, expected):
    path = study("bridge=linear,mlp", *last)
    row = added_row(path, ["bridge=c_abstractor"])
    assert [one for one in row if one.startswith("seed=")] == [expected]
    change(path / "bridge=mlp,seed=2", data_seed=1)  # then seeds alone do not tell the study's runs
    row = added_row(path, ["bridge=c_abstractor"])
    assert [one for one in row if one.startswith("seed=")] == [one for one in last if "seed" in one]


@pytest.mark.parametrize("given", ["verdict.delta=0.05", "verdict.baseline=mlp"])
def test_a_study_has_one_verdict(study, change, capsys, given):
    """Records keep what they declare, so another verdict would train for a report that is refused, or train all runs again."""
    path = study()
    for run in path.glob("bridge=*"):
        change(run, verdict={"baseline": "linear", "delta": 0.02})
    sweep = ["-m", "bridge=linear,mlp", "seed=0,1,2,3", f"paths.runs={path.parent}"]
    check_training([*sweep, "study=first_look"])
    assert cli.main(["train", *sweep, "study=first_look", given]) == 2
    told = capsys.readouterr().err
    declared = {"verdict.delta=0.05": "0.02", "verdict.baseline=mlp": "linear"}[given]
    assert f"{given}: finished runs of {path} declare {declared}, and a study has one verdict." in told
    words = shlex.split(told.split("again: ")[1])
    assert words == ["bridgelab", "train", *sweep, given, "study=NEW", f"paths.reuse=[{path}]"]
    check_training(words[2:])


def test_a_row_is_trained_where_its_own_command_line_says(study):
    path = study(*SWEPT)
    content = yaml.safe_load((path / "multirun.yaml").read_text())
    content["hydra"]["overrides"]["hydra"] = ["hydra/launcher=slurm", "hydra.mode=MULTIRUN"]
    (path / "multirun.yaml").write_text(yaml.safe_dump(content))
    places = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
    row = added_row(path, ["bridge=c_abstractor", *places])
    assert row[:4] == [*places, "experiments=first_look_tiny", "seed=0,1,2"]
    check_training(row)
    check_name(path, row)
    assert compose_sweep(conf_folder(), row).config.hydra.launcher.partition == "gpu"
    # The file may be anybody's.
    assert not [one for one in added_row(path, ["bridge=c_abstractor"]) if "hydra" in one]
    found = read_study(path)
    steps = next_steps(found, summarize(found), everything=False)
    advised = f"bridgelab study {path} --add hydra/launcher=slurm bridge=NAME"
    assert steps["another bridge beside these"] == advised


def test_the_place_is_left_out_where_it_is_the_default_and_quoted_where_it_must_be(tmp_path, monkeypatch):
    study = tmp_path / "my runs" / "s"
    study.mkdir(parents=True)
    (study / "multirun.yaml").write_text("hydra: {overrides: {task: [experiments=s]}}")
    assert added_row(study, ["bridge=mlp"])[-2:] == ["study=s", f"paths.runs='{study.parent}'"]
    study.parent.rename(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    row = ["experiments=s", "bridge=mlp", "study=s"]
    assert added_row(tmp_path / "runs" / "s", ["bridge=mlp"]) == row
    monkeypatch.chdir(tmp_path / "runs" / "s")
    assert added_row(Path("."), ["bridge=mlp"]) == [*row, f"paths.runs={tmp_path / 'runs'}"]
    (tmp_path / "mine").symlink_to(tmp_path / "runs" / "s")  # what is trained into mine/ is in the study
    assert added_row(tmp_path / "mine", ["bridge=mlp"])[-2:] == ["study=mine", f"paths.runs={tmp_path}"]


@pytest.mark.parametrize("name", ["my study", "a,b", "it's", "étude", "a=b"])
def test_a_study_of_any_name_gets_its_row(tmp_path, name):
    study = tmp_path / "à, b" / name
    study.mkdir(parents=True)
    (study / "multirun.yaml").write_text("hydra: {overrides: {task: [experiments=first_look_tiny]}}")
    command = added_row(study, ["bridge=mlp"])
    check_training(command)
    config = compose_sweep(conf_folder(), command).config
    assert (config.study, config.paths.runs) == (name, str(study.parent))


def test_the_command_line_of_an_added_row_is_valid(study):
    check_training(added_row(study(*SWEPT), ["bridge=c_abstractor"]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["bridge=mlp", "train.steps=9"], r"train\.steps=9: a row is compared with rows that are trained alike, so only its bridge"),
        (["budget.tokens=4"], r"budget\.tokens=4 chooses no bridge\. Give bridge=NAME"),
    ],
)  # fmt: skip
def test_rows_that_could_not_be_compared_are_refused(study, row, message, capsys):
    path = study(*SWEPT)
    assert cli.main(["study", str(path), "--add", *row]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    "override",
    [
        "benchmark._target_=runs.s.payload.Evil",
        "+logger.a={_target_: mine.Evil}",
        "--config-dir=runs/s",
        "hydra.job_logging.handlers.a={(): mine.evil}",
        "experiments='../runs/s/evil'",
        "benchmark@a.b='../../runs/s/evil'",
    ],
)
def test_a_multirun_of_somebody_elses_runs_no_code(study, override):
    path = study(*SWEPT, override)
    with pytest.raises(
        UsageError,
        match=r"multirun\.yaml holds .* If you trust its author, train the row yourself: bridgelab train",
    ):
        added_row(path, ["bridge=mlp"])
    added_row(study(*SWEPT, "optim._target_=torch.optim.SGD", "benchmark.root=../data"), ["bridge=mlp"])


def test_a_row_of_a_study_in_ones_own_folder_is_given_as_a_training(study):
    path = study(*SWEPT)
    content = yaml.safe_load((path / "multirun.yaml").read_text())
    content["hydra"]["runtime"] = {"config_sources": [{"path": "/mine", "provider": "command-line"}]}
    (path / "multirun.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        UsageError, match=r"holds --config-dir=/mine, .* bridgelab train --config-dir=/mine .*bridge=mlp"
    ):
        added_row(path, ["bridge=mlp"])


def test_a_second_row_of_one_name_is_refused_before_it_is_trained(study, simulated, change):
    """The report would refuse the whole study."""
    path = study(*SWEPT)
    simulated.write("first_look", bridges={"own": TRUTH["mlp"]}, images=30)
    for run in path.glob("bridge=own,*"):
        name = f"+bridge.width=8,bridge._target_=mine.Bridge,bridge=linear,{run.name.partition(',')[2]}"
        change(run, bridge="mine.Bridge", overrides=name)
        run.rename(path / name)

    def add(*row):
        check_name(path, added_row(path, row))

    own = ["bridge._target_=mine.Bridge", "+bridge.width=8"]
    add(*own)
    add("bridge=linear")
    add("bridge=c_abstractor,d_abstractor", "bridge.num_queries=4")
    with pytest.raises(
        UsageError,
        match=r"a row of mine\.Bridge already, trained with bridge\.width=8: .* Move its runs to a study",
    ):
        add(own[0], "+bridge.width=16")
    with pytest.raises(
        UsageError, match=r"a row of mlp already, trained without budget\.tokens: a table names a row by"
    ):
        add("bridge=c_abstractor,mlp", "budget.tokens=4")
    with pytest.raises(
        UsageError, match=r"budget\.tokens=4,8: a table names a row by its bridge, .* Give one value"
    ):
        add("bridge=c_abstractor", "budget.tokens=4,8")
    for run in path.glob("bridge=*"):
        run.rename(path / f"{run.name},budget.tokens=16")
    study(*SWEPT, "budget.tokens=8,16")  # then the table tells them by what is varied
    add("bridge=mlp", "budget.tokens=4,8")


@pytest.fixture
def warm(study, change, tmp_path, monkeypatch):
    """The command that adds a row to a study whose rows start from warm starts; there is one of linear."""
    path = study(*SWEPT)
    for run in path.glob("bridge=*"):
        change(run, init_from="warm:miniature/linear_64_seed0@aa")
    monkeypatch.setattr(warm_start_files, "SHIPPED", tmp_path / "warm")
    (tmp_path / "warm" / "miniature").mkdir(parents=True)
    card = {"target": "bridgelab.bridge.linear.Linear", "record": {"examples_seen": 384000}}
    (tmp_path / "warm" / "miniature" / "linear_64_seed0.json").write_text(json.dumps(card))
    return lambda *row: check_start(path, added_row(path, row))


def test_a_row_without_a_warm_start_is_told_what_to_do(warm):
    message = r"CAbstractor has no warm start, .* Or add bridge\.init_from=null to train it here from scratch: it then lacks up to 384,000 examples"
    with pytest.raises(UsageError, match=message):
        warm("bridge=c_abstractor", "bridge.init_from=warm")
    told = warm("bridge=c_abstractor", "bridge.init_from=null")
    assert told.startswith("CAbstractor is trained from scratch. The other rows of ")
    assert "up to 384,000 examples before" in told
    assert warm("bridge=linear", "bridge.init_from=warm") == ""
    # The floor and the ceilings of first_look itself, which start from none there either.
    for bridge in ("blind", "words", "words_patch_like"):
        assert warm(f"bridge={bridge}", "bridge.init_from=warm") == ""


def test_a_row_beside_rows_from_nothing_is_not_warned_of(study):
    path = study(*SWEPT)
    assert check_start(path, added_row(path, ["bridge=c_abstractor"])) == ""


def test_a_study_of_unknown_training_is_refused(simulated, capsys):
    path = simulated.write(images=4)
    assert cli.main(["study", str(path), "--add", "bridge=mlp"]) == 2
    assert "has no multirun.yaml, so how its runs were trained is not known" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["bridge._target_=broken.Wide"], r"broken\.Wide breaks 1 of the contract's demands, first this: gives tokens"),
        (["bridge._target_=broken.Wide", "+bridge.widht=3"], r"widht: Wide takes no such argument"),
        (["bridge._target_=broken.Nope"], r"broken has no class Nope"),
    ],
)  # fmt: skip
def test_a_class_of_ones_own_is_checked_before_it_is_trained(
    study, keys, message, tmp_path, monkeypatch, capsys
):
    path = study(*SWEPT)
    before = sorted(path.iterdir())
    (tmp_path / "broken.py").write_text(
        "from torch import nn\n\n\nclass Wide(nn.Linear):\n    def __init__(self, vision_dim, text_dim):\n"
        "        super().__init__(vision_dim, text_dim + 1)\n\n    def forward(self, patches, text=None, text_mask=None):\n"
        "        return super().forward(patches)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(train, "run", lambda _: pytest.fail("nothing is trained"))
    assert cli.main(["study", str(path), "--add", *keys]) != 0
    assert re.search(message, capsys.readouterr().err)
    assert sorted(path.iterdir()) == before


def test_a_recorded_study_is_unpacked_where_it_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained = []
    monkeypatch.setattr(train, "run", trained.append)
    assert cli.main(["study", "--add", "bridge=c_abstractor"]) == 0
    assert "runs/published did not exist: its recorded runs were unpacked from " in capsys.readouterr().out
    runs = Path("runs/published")
    assert trained == [["experiments=published", "bridge=c_abstractor", "study=published"]]
    check_training(trained[0])
    assert len(read_study(runs).runs) >= 9
    (runs / "bridge=linear,seed=0" / "metrics.json").unlink()
    assert unpack(runs, config_root()) is None, "what is there stays as it is"
    assert not (runs / "bridge=linear,seed=0" / "metrics.json").exists()
    assert [path.name for path in runs.parent.iterdir()] == ["published"], "no temporary folder is left"
    assert unpack(Path("runs/nothing"), config_root()) is None
    assert cli.main(["study", "runs/nothing", "--add", "bridge=mlp"]) == 2
    assert "there is no folder runs/nothing" in capsys.readouterr().err


def test_a_study_from_warm_starts_advises_one_from_nothing(study, change):
    path = study(*SWEPT)
    advice = "another bridge, beside recorded runs"
    found = read_study(path)
    assert advice not in next_steps(found, summarize(found), everything=False)
    for run in path.glob("bridge=*"):
        change(run, init_from="warm:miniature/linear_64_seed0@aa")
    found = read_study(path)
    assert (
        next_steps(found, summarize(found), everything=False)[advice] == "bridgelab study --add bridge=NAME"
    )


def test_a_diagnosis_is_advised_where_weights_are(study):
    """Unpacked records and evaluated studies have none."""
    path = study(*SWEPT)
    found = read_study(path)
    for bridge, advised in (("blind", False), ("linear", True)):
        for run in path.glob(f"bridge={bridge},*"):
            (run / "last.ckpt").touch()
        steps = next_steps(found, summarize(found), everything=False)
        assert ("what answers rest on" in steps) is advised


def test_the_new_row_stands_beside_the_recorded_ones(study, simulated, monkeypatch, capsys):
    path = study(*SWEPT)
    before = {file: file.read_bytes() for file in path.glob("*/metrics.json")}

    def trained(args):
        assert "bridge=c_abstractor" in args
        assert os.environ["BRIDGELAB_REPORT_FOLLOWS"]  # so the sweep does not advise it
        (path / "multirun.yaml").write_text("hydra: {}\n")  # Hydra writes the added row's sweep
        simulated.write("first_look", bridges={"c_abstractor": TRUTH["mlp"]}, images=30)

    monkeypatch.setattr(train, "run", trained)
    monkeypatch.setenv("BRIDGELAB_REPORT_FOLLOWS", "")
    assert cli.main(["study", str(path), "--add", "bridge=c_abstractor"]) == 0
    printed = capsys.readouterr().out
    assert all(file.read_bytes() == content for file, content in before.items())
    assert any(line.startswith("c_abstractor ") for line in printed.splitlines())
    assert f"bridgelab study {path} --add bridge=NAME" in printed
    assert "first_look_tiny" in (path / "multirun.yaml").read_text()


@pytest.fixture
def adding(study, monkeypatch):
    """A function that adds a row to a study, and calls another while the row is trained, as its sweep stands in multirun.yaml."""
    monkeypatch.setenv("BRIDGELAB_REPORT_FOLLOWS", "")
    monkeypatch.setattr("bridgelab.report.write.report", lambda _: None)

    def add(path, meanwhile):
        def trained(args):
            task = [*args, "budget.tokens=16"]
            (path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": {"task": task}}}))
            write_plan([Planned(path / "bridge=c_abstractor,seed=0")])  # as a launcher does
            meanwhile()

        monkeypatch.setattr(train, "run", trained)
        return cli.main(["study", str(path), "--add", "bridge=c_abstractor"])

    return add


def test_a_second_row_is_refused_while_one_is_trained(study, adding, monkeypatch, capsys):
    path = study(*SWEPT)
    before = (path / "multirun.yaml").read_bytes()

    def second():
        assert last_overrides(path) == list(SWEPT)  # as a report reads it meanwhile
        monkeypatch.setattr(train, "run", lambda _: pytest.fail("the second is trained"))
        capsys.readouterr()
        assert cli.main(["study", str(path), "--add", "bridge=qformer"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(
            "first_look gets a row already, from another bridgelab study --add. Repeat this command when that one is done."
        )

    assert adding(path, second) == 0
    assert (path / "multirun.yaml").read_bytes() == before
    assert not (path / "multirun.study.yaml").exists()
    assert adding(path, lambda: None) == 0


def test_a_row_that_is_killed_leaves_the_studys_own_sweep(study, adding, tmp_path):
    path = study(*SWEPT)
    before, own_row, own_sweep = (
        (path / "multirun.yaml").read_bytes(),
        added_row(path, ["bridge=qformer"]),
        swept(path),
    )
    killed = tmp_path / "killed" / path.name
    adding(path, lambda: shutil.copytree(path, killed))  # what kill -9 leaves at this moment
    assert (killed / "multirun.yaml").read_bytes() != before
    assert added_row(killed, ["bridge=qformer"])[:3] == own_row[:3]
    assert swept(killed) == own_sweep
    begun = tmp_path / "begun" / path.name
    shutil.copytree(killed, begun)
    adding(killed, lambda: None)  # the next one restores it
    assert (killed / "multirun.yaml").read_bytes() == before
    assert not (killed / "multirun.study.yaml").exists()
    (begun / "multirun.yaml").write_text("hydra: {overrides: {task: ['bridge=mlp', 'seed=0,1']}}")
    write_plan([Planned(begun / "bridge=mlp,seed=0")])  # a sweep of the study itself is its last one
    assert last_overrides(begun) == ["bridge=mlp", "seed=0,1"]


def test_training_that_fails_leaves_the_studys_own_sweep(study, adding):
    path = study(*SWEPT)

    def fail():
        raise KeyboardInterrupt

    before = (path / "multirun.yaml").read_bytes()
    adding(path, fail)
    assert (path / "multirun.yaml").read_bytes() == before
    assert not (path / "multirun.study.yaml").exists()
