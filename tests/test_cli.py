import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from bridgelab import ctrl_c as interrupt
from bridgelab.cli import main as cli
from bridgelab.config.root import config_root
from bridgelab.data.features import feature_source as features
from bridgelab.data.features.feature_store import FeatureStore


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bridgelab.cli.main import main; main(['--help']); "
        "heavy = {'torch', 'hydra', 'numpy', 'omegaconf', 'rich'} & set(sys.modules)\n"
        "for command in () if heavy else sys.argv[1:]:\n"
        "    try: main([command, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0, end.code\n"
        "    heavy |= {f'{one} by {command}' for one in {'torch', 'hydra'} & set(sys.modules)}\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    commands = ["world", "features", "report", "bench"]
    done = subprocess.run([sys.executable, "-c", code, *commands], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bridgelab train" in done.stdout
    assert re.findall(r"^usage: bridgelab (\w+)", done.stdout, re.MULTILINE)[-4:] == commands


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
    assert cli.main(["--help"]) == 0
    assert f"\n  {command} " in capsys.readouterr().out


def test_without_a_command_six_things_are_named_whose_commands_exist(capsys):
    assert cli.main([]) == 0
    told = capsys.readouterr().out
    lines = [line for line in told.splitlines() if line.startswith("  ")]
    assert len([line for line in lines if line[2] != " "]) == 6
    whole = [line for before, line in zip(["", *lines], lines, strict=False) if not before.endswith("\\")]
    named = [re.search(r" bridgelab ([a-z-]+)", line)[1] for line in whole]
    assert set(named) <= set(cli.COMMANDS)
    assert all(len(line) <= 100 for line in lines)


def test_upkeep_of_features_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from bridgelab.cli.main import main; "
        "ended = [main(['features', action, '--root', sys.argv[1]]) for action in ('list', 'verify', 'prune')]; "
        "heavy = {'torch', 'hydra'} & set(sys.modules); sys.exit(str(heavy) if heavy or any(ended) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"no features in {tmp_path}", "0 rows read", "nothing to prune"]


def test_features_are_listed_checked_and_pruned(tmp_path, capsys, tiny_vision):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    FeatureStore(tmp_path / "features", tiny_vision).features([str(tmp_path / "a.png")])
    root = ["--root", str(tmp_path / "features")]
    assert cli.main(["features", "list", *root]) == 0
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
    assert re.search("1 of them are damaged. Run 'bridgelab features prune'", captured.err)
    assert cli.main(["features", "prune", *root]) == 0
    assert "1 rows, 1 of them damaged" in capsys.readouterr().out
    assert cli.main(["features", "prune", *root, "--store", "nothing"]) == 2
    assert f"there is no store 'nothing' in {root[1]}, which has {name}." in capsys.readouterr().err
    assert cli.main(["features", "prune", *root, "--store", name]) == 0
    assert cli.main(["features", "list", *root]) == 0
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
    assert re.search(r"\n  seed=0  +of a bridge's init\n", told)
    assert re.search(r"\n  train\.lr=null  +null: found by the search, see tune\n", told)
    assert all(len(line) <= 120 for line in told.splitlines())
    assert "`" not in told
    assert cli.main(["train", "--help", "bridge=qformer"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("bridge=qformer\n")
    assert re.search(r"\n  bridge\.num_queries=16", told)
    assert cli.main(["train", "--help", "bridge=qformer_question"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"\n  bridge\.num_queries=16 .*\n(.*\n)*  bridge\.conditioning=question\n", told)
    assert cli.main(["train", "--help", "bridge=qfromer"]) == 2
    assert "Did you mean 'qformer'?" in capsys.readouterr().err
    assert cli.main(["align", "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: bridgelab align ")
    assert re.search(r"\n  train\.val_points=5 +number of evaluations on val, evenly spaced\n", told)
    assert "experiments=" not in told
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
        "bridgelab.benchmark.world": "write_world",
        "bridgelab.report.write": "report",
        "bridgelab.training.main": "main",
        "bridgelab.pretraining.t5.main": "main",
        "bridgelab.pretraining.vit.main": "main",
    }
    for name, function in targets.items():
        monkeypatch.setattr(f"{name}.{function}", record(name))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(sys, "argv", ["bridgelab"])
    return calls


def test_world_hands_over_its_numbers_and_writes_over_no_split(target, tmp_path, capsys):
    args = ["world", "--out", str(tmp_path), "--split=val", "--images=5", "--seed=3", "--processes=2"]
    assert cli.main(args) == 0
    assert [call[:2] for call in target] == [("bridgelab.benchmark.world", (tmp_path, "val", 5, 3, 2))]
    assert cli.main(args) == 0
    assert f"{tmp_path} has this val already" in capsys.readouterr().err
    assert cli.main([*args, "--images=2000", "--seed=4"]) == 2
    assert "images=5, but 2000 is requested, seed=3, but 4 is requested" in capsys.readouterr().err
    assert len(target) == 1


def test_report_hands_over_the_folder(target, tmp_path):
    assert cli.main(["report", str(tmp_path)]) == 0
    assert [call[:2] for call in target] == [("bridgelab.report.write", (tmp_path,))]


@pytest.mark.parametrize(
    ("args", "module"),
    [
        (["train", "-m", "seed=0,1", "--cfg", "job"], "bridgelab.training.main"),
        (["pretrain", "text", "seed=2", "--help"], "bridgelab.pretraining.t5.main"),
        (["pretrain", "vision"], "bridgelab.pretraining.vit.main"),
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
