import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bridgelab.cli import main as cli
from bridgelab.cli.arguments import UsageError
from bridgelab.cli.overrides import check_choices, options_first


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["train", "-m", "study=../../x"],
            r"^bridgelab train: study=\.\./\.\./x leads out of paths\.runs: give a name.*\n$",
        ),
        (
            ["train", "study=/tmp/x"],
            r"^bridgelab train: study=/tmp/x leads out of paths\.runs: give a name.*\n$",
        ),
        (["trian"], "command 'trian' is not one of world, train, .*Did you mean 'train'"),
        (["pretrain", "txt"], "model to pretrain 'txt' is not one of text, vision. Did you mean 'text'"),
        (
            ["world", "--out", "x", "--split", "v", "--images", "0"],
            "--images 0 is not positive. Give at least",
        ),
        (
            ["world", "--out", "x", "--split", "vall", "--images", "1"],
            "split='vall': must be one of train, val, test, or one of these with a shift",
        ),
        (["train", "train.step=10"], r"there is no key train\.step\. Did you mean train\.steps\?"),
        (["train", "bridg=linear"], r"bridg=linear: there is no key bridg\. Did you mean bridge\?"),
        (["train", "-m", "bridge=linear,mlp", "sed=0,1"], r"there is no key sed\. Did you mean seed\?"),
        (["train", "bridge"], "bridge: an override is written KEY=VALUE"),
        (["train", "foo=3"], r"foo=3: there is no key foo\. bridgelab train --help lists the keys\."),
        (["align", "train.step=10"], r"there is no key train\.step\. Did you mean train\.steps\?"),
        (["align", "experiments=first_look"], r"there is no key experiments\."),
        (["align", "logger=wandb"], r"no key logger\. bridgelab align --help lists the keys\."),
        (["align", "seed=0,1"], "a sweep, a run for each. Write -m for a sweep: bridgelab align -m seed=0,1"),
        (
            ["align", "-m", "seed=0,1", "train.batch_size=4,1"],
            r"^bridgelab align: train\.batch_size=1: must be",
        ),
        (
            ["train", "-m", "experiments=tokens,first_look", "seed=0"],
            r"experiments=first_look,tokens: Hydra ignores a study's own sweep .* one command each: bridgelab train experiments=first_look seed=0, bridgelab",
        ),
        (["train", "--mutirun", "seed=0,1"], "there is no option --mutirun. Did you mean '--multirun'"),
        (
            ["train", "bridge=linear,mlp", "seed=1"],
            "several are a sweep, .* bridgelab train -m bridge=linear,mlp seed=1",
        ),
        (["train", "hydra/launcher=pol"], r"hydra/launcher=pol: must be one of .* Did you mean pool\?"),
        (["train", "train.steps=-5"], r"^bridgelab train: train\.steps=-5: must be at least 0\.\n$"),
        (
            ["train", "-m", "seed=0,1", "train.steps=5,-5"],
            r"^bridgelab train: train\.steps=-5: must be at least 0\.\n$",
        ),
        (["align", "hydra.job.chdir=true"], r"hydra\.job\.chdir=true: .* Leave it out\.$"),
        (["train", "-m", "hydra.launcher.slots=0"], r"hydra\.launcher\.slots=0: must be at least 1"),
        (["train", "bridge=qformer", "bridge.num_querys=3"], r"Did you mean bridge\.num_queries\?"),
        (["doctor", "experiments=nope"], "experiments 'nope' is not one of aa, "),
        (["doctor", "bridg=linear"], r"bridg=linear: there is no key bridg\. Did you mean bridge\?"),
        (
            ["features", "build", "bridge=linear,mlp"],
            "bridge=linear,mlp: this command takes one value of each key",
        ),
        (["pretrain", "text", "seed=0,1"], "Write -m for a sweep: bridgelab pretrain text -m seed=0,1"),
        (["pretrain", "text", "sed=3"], r"sed=3: there is no key sed\. Did you mean seed\?"),
        (
            ["pretrain", "text", "reader=prse"],
            "reader 'prse' is not one of dense, grids, prose, schooled. Did you mean",
        ),
        (["train", "bridge==x"], r"bridge==x can't be read: .* Write 'bridge=\"=x\"'"),
        (["train", "paths.reuse=[a=b]"], r"Write each text inside so, as in 'paths\.reuse=\[\"A\",\"B\"\]'"),
        (["features", "lst"], r"invalid choice: 'lst' .*Did you mean 'list'\?"),
        (["report", "x", "--formt", "md"], r"unrecognized arguments: --formt md. Did you mean '--format'\?"),
        (["answer", "no/run", "a.png", "q"], r"there is no folder no/run\. "),
        (
            ["answer", ".", "a.png", "q"],
            r"\. is not a trained run: it has no config\.yaml\. Give a run, a folder in runs/",
        ),
        (
            ["convert", "no.pt", "x.safetensors", "--from", "llava"],
            "there is no file of weights no.pt. Give the path",
        ),
        (["convert", ".", "x.safetensors", "--from", "llava"], r"\. is a folder\. Give a file in it\."),
        (["study", "--ad", "bridge=mlp"], "arguments are required: --add"),
        (["diagnose", "no"], "there is no folder no"),
        (["evaluate", "no/bridge=linear,seed=9", "benchmark=pope"], r"no folder no/bridge=linear,seed=9\."),
        (["evaluate", ".", "seed=3"], "seed=3 changes nothing here: it is the run's own"),
        (["check-bridge", "mlp", "wdth=3"], "wdth: MLP takes no such argument, it takes hidden_dim"),
    ],
)
def test_bad_input_is_named_with_the_fix(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(args)
    except SystemExit as end:  # argparse's
        status = end.code
    assert status == 2
    assert list(tmp_path.iterdir()) == []  # no folder of a run
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)


@pytest.mark.parametrize(
    "text", ["runs/x/bridge=linear,seed=0/last.ckpt", "données", "é ü", 'a "b" (c)', r"a \"b\" é", "it's"]
)
def test_what_hydra_cannot_read_is_told_as_it_can(text, capsys):
    assert cli.main(["train", f"benchmark.root={text}"]) == 2
    (quoted,) = shlex.split(capsys.readouterr().err.split(" Write ")[1])
    assert OverridesParser.create().parse_override(quoted).value() == text


def test_a_home_is_written_out(capsys):
    assert cli.main(["train", "benchmark.root=~/data"]) == 2
    assert f"Write 'benchmark.root=\"{Path.home()}/data\"'" in capsys.readouterr().err


@pytest.fixture
def conf(tmp_path):
    for name in (
        "conf/bridge/linear",
        "conf/bridge/qformer",
        "conf/bridge/deep/er",
        "experiments/first_look",
    ):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["bridge=qfromer"],
            "bridge 'qfromer' is not one of deep/er, linear, qformer. .* 'qformer'",
        ),
        (["-m", "seed=0,1", "bridge=linear,lineer"], "bridge 'lineer' .* mean 'linear'"),
        (
            ["experiments=first_lok"],
            "experiments 'first_lok' is not one of first_look. Did you mean 'first_look'[?] A study of your own .* --config-dir=DIR",
        ),
        (["+bridge@second=nothing"], "bridge 'nothing' is not one of"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_nearest(args, message, conf):
    with pytest.raises(UsageError, match=message):
        check_choices(args, conf)


@pytest.mark.parametrize(
    "arg",
    ["bridge=linear", "bridge=linear,qformer", "bridge=deep/er", "bridge=null", "bridge=choice(linear)",
     "bridge.depth=2", "seed=7", "hydra/launcher=basic", "experiments=first_look", "-m", "x=[1,2]"],
)  # fmt: skip
def test_other_overrides_are_left_to_hydra(arg, conf):
    check_choices([arg], conf)
    check_choices(["--config-dir", "elsewhere", "bridge=theirs"], conf)


def test_options_may_stand_among_overrides():
    args = ["bridge=linear,mlp", "-m", "seed=0,1", "--cfg", "job", "study=x"]
    assert options_first(args) == ["-m", "--cfg", "job", "bridge=linear,mlp", "seed=0,1", "study=x"]


def test_a_sweep_on_slurm_is_checked_before_anything_of_training_is_imported():
    check = "from bridgelab.cli.overrides import check_training; check_training(['-m', 'hydra/launcher=slurm', 'seed=0,1'])"
    subprocess.run([sys.executable, "-c", check], check=True)
