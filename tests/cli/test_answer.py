import re
import sys

from bridgelab.cli import main as cli


def test_answer_checks_its_files_before_it_loads_a_model(tmp_path, monkeypatch, capsys):
    run = tmp_path / "runs" / "s" / "bridge=linear,seed=0"
    run.mkdir(parents=True)
    for name in ("config.yaml", "last.ckpt"):
        (run / name).touch()
    (tmp_path / "picture.png").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "bridgelab.explain.answer", None)  # its import fails, and loads no model
    for args, message in (
        (
            [str(run), "pictre.png", "what ?"],
            r"there is no image pictre\.png\. Did you mean 'picture\.png'\?",
        ),
        (
            ["runs/t/bridge=linear,seed=0", "picture.png", "what ?"],
            r"there is no folder runs/t/.*\. runs holds s\.",
        ),
        (
            ["runs/s", "picture.png", "what ?"],
            r"runs/s is not a trained run: .* such as runs/s/bridge=linear,seed=0\.",
        ),
        ([str(run), "picture.png"], "a run and an image must come before the question"),
        ([str(run), "picture.png", "what ?", "--explain", "no/a.png"], "there is no folder no"),
        ([str(run), "picture.png", "what ?", "--questions", "q.jsonl"], "Leave the others out"),
        ([], "a run is needed"),
        ([str(run), "--questions", "q.jsonl"], r"there is no file of questions q\.jsonl"),
    ):
        assert cli.main(["answer", *args]) == 2
        assert re.search(message, capsys.readouterr().err)
