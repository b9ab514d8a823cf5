import importlib
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from bridgelab import ctrl_c as interrupt
from bridgelab.cli import main as cli
from bridgelab.cli.arguments import UsageError
from bridgelab.cli.hydra_app import check_choices
from bridgelab.config.root import config_root
from bridgelab.data.features import feature_source as features
from bridgelab.data.features.feature_store import FeatureStore


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from bridgelab.cli.main import main; main(['--help']); "
        "heavy = {'torch', 'hydra', 'numpy', 'omegaconf', 'rich'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bridgelab train" in done.stdout
    assert time.perf_counter() - start < 5  # 0.1 s on an idle core; other tests run beside this one


def test_a_reader_that_stops_reading_is_no_error():
    code = (
        "import sys; from bridgelab.cli import bench, main; "
        "bench.run = lambda args: exec('raise BrokenPipeError(32, str())'); "
        "sys.exit(main.main(['bench']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.fixture
def interrupted(monkeypatch):
    """The process as it starts, whose Ctrl-C is given back in the end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(interrupt, "_pressed", False)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_a_command_without_a_traceback_and_a_second_at_once(interrupted, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bridgelab", "bench"])
    monkeypatch.setattr("bridgelab.cli.bench.run", lambda args: os.kill(os.getpid(), signal.SIGINT))
    assert cli.main() == 130
    assert capsys.readouterr().err == "bridgelab bench: stopped\n"
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # the system's: at once, whatever Python is at
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert cli.main() == 0  # as in a shell's background job
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_is_in_the_help(command, capsys):
    assert cli.main([]) == 0
    assert f"\n  {command} " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["world", "features", "report", "bench"])
def test_help_of_a_command_imports_nothing_heavy(command, capsys):
    before = set(sys.modules)
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert f"usage: bridgelab {command}" in capsys.readouterr().out
    assert not {"torch", "hydra"} & (set(sys.modules) - before)


def test_upkeep_of_features_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from bridgelab.cli.main import main; "
        "ended = [main(['features', action, '--root', sys.argv[1]]) for action in ('info', 'verify', 'prune')]; "
        "heavy = {'torch', 'hydra'} & set(sys.modules); sys.exit(str(heavy) if heavy or any(ended) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"no features in {tmp_path}", "0 rows read", "nothing to prune"]


def test_features_are_listed_checked_and_pruned(tmp_path, capsys, tiny_vision):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    FeatureStore(tmp_path / "features", tiny_vision).features([str(tmp_path / "a.png")])
    root = ["--root", str(tmp_path / "features")]
    assert cli.main(["features", "info", *root]) == 0
    told = capsys.readouterr().out
    name = f"{tiny_vision.fingerprint[:32]}-bfloat16-v1"
    assert re.fullmatch(rf"{name}: 1 images, 4 patches of 6, 1 files, 0\.0 MB\n", told)
    assert cli.main(["features", "verify", *root]) == 0
    assert capsys.readouterr().out == "1 rows read\n"
    (shard,) = (tmp_path / "features").rglob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert cli.main(["features", "verify", *root]) == 2
    captured = capsys.readouterr()
    assert re.search(r"row 0, of the image [0-9a-f]{64}, is damaged\n1 rows read", captured.out)
    assert re.search("1 of them are damaged. Run `bridgelab features prune`", captured.err)
    assert cli.main(["features", "prune", *root]) == 0
    assert "1 rows, 1 of them damaged" in capsys.readouterr().out
    assert cli.main(["features", "prune", *root, "--store", "nothing"]) == 2
    assert f"store 'nothing' is none of {name}" in capsys.readouterr().err
    assert cli.main(["features", "prune", *root, "--store", name]) == 0
    assert cli.main(["features", "info", *root]) == 0
    assert "no features in" in capsys.readouterr().out


def test_features_are_built_by_a_line_as_trainings(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(features, "build_features", lambda *args: calls.append(args) or "done")
    line = ["benchmark=nlvr", "data.dtype=float16", "--shard", "1/2", "--splits", "val,test"]
    assert cli.main(["features", "build", *line]) == 0
    ((config, splits, part),) = calls
    assert (config.benchmark.train_folder, config.data.dtype) == ("dev", "float16")
    assert (splits, part) == (["val", "test"], (1, 2))
    assert capsys.readouterr().out == "done\n"
    for line, match in (
        (["benchmark=nlv"], "benchmark 'nlv' is not one of .* Did you mean 'nlvr'"),
        (["--shard", "2/2"], "--shard 2/2: must be i/n"),
        (["data.dtpe=float16"], r"there is no key data\.dtpe\. Did you mean data\.dtype\?"),
    ):
        assert cli.main(["features", "build", *line]) == 2
        assert re.search(match, capsys.readouterr().err)


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
            "split='vall': must be one of train, val, test, or one of these with a bend",
        ),
        (["train", "train.step=10"], r"there is no key train\.step\. Did you mean train\.steps\?"),
        (["train", "bridge==x"], r"bridge==x can't be read: .* Write 'bridge=\"=x\"'"),
        (["train", "paths.reuse=[a=b]"], r"Write each text inside so, as in 'paths\.reuse=\[\"A\",\"B\"\]'"),
        (["evaluate", "no/bridge=linear,seed=9", "benchmark=pope"], r"no folder no/bridge=linear,seed=9\."),
        (["evaluate", ".", "seed=3"], "seed=3 changes nothing here: it is the run's own"),
        (["check-bridge", "mlp", "wdth=3"], "wdth: MLP takes no such argument, it takes hidden_dim"),
    ],
)
def test_bad_input_is_named_with_the_fix(args, message, capsys):
    assert cli.main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)


@pytest.mark.parametrize(
    "text", ["runs/x/bridge=linear,seed=0/last.ckpt", "données", "é ü", 'a "b" (c)', "it's"]
)
def test_what_hydra_cannot_read_is_told_as_it_can(text, capsys):
    assert cli.main(["train", f"benchmark.root={text}"]) == 2
    (quoted,) = shlex.split(capsys.readouterr().err.split(" Write ")[1])
    assert OverridesParser.create().parse_override(quoted).value() == text


def test_a_home_is_written_out(capsys):
    assert cli.main(["train", "benchmark.root=~/data"]) == 2
    assert f"Write 'benchmark.root=\"{Path.home()}/data\"'" in capsys.readouterr().err


def test_the_help_of_training_tells_what_there_is_and_means(capsys):
    assert cli.main(["train", "--help"]) == 0
    told = capsys.readouterr().out
    root = config_root()
    conf = root / "conf"
    for folder in (
        conf / "bridge",
        conf / "benchmark",
        conf / "hydra" / "launcher",
        root / "experiments",
    ):
        assert all(path.stem in told.replace("\n", " ") for path in folder.glob("*.yaml"))
    assert "pretrain" not in told
    assert "  seed: 0          # of a bridge's init\n" in told
    with pytest.raises(SystemExit):
        cli.main(["plan", "--help"])
    assert "80 % power" in " ".join(capsys.readouterr().out.split())


def test_report_of_no_folder_names_the_nearest(tmp_path, capsys):
    (tmp_path / "first_look").mkdir()
    assert cli.main(["report", str(tmp_path / "first_lok")]) == 2
    assert re.search(r"there is no folder .*first_lok\. Did you mean '.*first_look'", capsys.readouterr().err)


@pytest.fixture
def target(monkeypatch):
    """Put a recorder in the place of the modules that the commands import."""
    calls = []

    def record(name):
        def called(*args, **_):
            calls.append((name, args, list(sys.argv), sys.modules["__main__"].__spec__))

        return called

    targets = {
        "bridgelab.world.write": "write_world",
        "bridgelab.report.write": "report",
        "bridgelab.training.main": "main",
        "bridgelab.pretraining.text": "main",
        "bridgelab.pretraining.vision": "main",
    }
    for name, function in targets.items():
        monkeypatch.setattr(f"{name}.{function}", record(name))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(sys, "argv", ["bridgelab"])
    return calls


def test_world_hands_over_its_numbers(target, tmp_path):
    args = ["world", "--out", str(tmp_path), "--split=val", "--images=5", "--seed=3", "--processes=2"]
    assert cli.main(args) == 0
    assert [call[:2] for call in target] == [("bridgelab.world.write", (tmp_path, "val", 5, 3, 2))]


def test_report_hands_over_the_folder(target, tmp_path):
    assert cli.main(["report", str(tmp_path)]) == 0
    assert [call[:2] for call in target] == [("bridgelab.report.write", (tmp_path,))]


@pytest.mark.parametrize(
    ("args", "module"),
    [
        (["train", "-m", "seed=0,1", "--cfg", "job"], "bridgelab.training.main"),
        (["pretrain", "text", "seed=2", "--help"], "bridgelab.pretraining.text"),
        (["pretrain", "vision"], "bridgelab.pretraining.vision"),
    ],
)
def test_hydra_apps_get_the_rest_of_the_line(target, args, module):
    assert cli.main(args) == 0
    ((name, _, argv, spec),) = target
    assert spec.name == module  # by which Lightning's ddp starts the other ranks
    assert sys.modules["__main__"].__spec__ is not spec
    words = 2 if args[0] == "pretrain" else 1
    assert (name, argv) == (module, [" ".join(["bridgelab", *args[:words]]), *args[words:]])
    assert os.path.isdir(os.path.join(os.environ["BRIDGELAB_ROOT"], "conf"))


def test_a_checkout_without_conf_is_refused(target, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BRIDGELAB_ROOT", str(tmp_path))
    assert cli.main(["train"]) == 2
    assert re.search(
        r"there is no folder .*conf\. Install bridgelab again, or set BRIDGELAB_ROOT", capsys.readouterr().err
    )
    assert target == []


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
            "experiments 'first_lok' is not one of first_look. Did you",
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
