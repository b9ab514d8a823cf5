import os
import subprocess
import sys

import pytest

from bridgelab.cli import main as cli


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bridgelab tr", ["train"]),
        ("bridgelab check-d", ["check-data"]),
        ("bridgelab check-data benchmark=ow", ["own", "own_class"]),
        (
            "bridgelab train bridge=qf",
            [
                "qformer",
                "qformer_aligned",
                "qformer_mismatched",
                "qformer_published",
                "qformer_published_question",
                "qformer_question",
            ],
        ),
        ("bridgelab train -m bridge=linear,c_", ["linear,c_abstractor"]),
        ("bridgelab train train.st", ["train.stages=", "train.steps="]),
        (
            "bridgelab doctor experiments=first",
            ["first_look", "first_look_full", "first_look_tiny", "first_look_warm"],
        ),
        ("bridgelab features build hydra/l", ["hydra/launcher="]),
        ("bridgelab report ru", ["runs/"]),
        ("bridgelab report runs/", ["runs/first_look/"]),
        ("bridgelab answer runs/first_look/bridge=l", ["linear,seed=0/"]),
        ("bridgelab evaluate runs/first_look/bridge=l", ["linear,seed=0/"]),
    ],
)
def test_words_that_complete_a_line(line, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs" / "first_look" / "bridge=linear,seed=0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["completion", "--words", line]) == 0
    assert capsys.readouterr().out.splitlines() == words


def test_bash_completes_a_word(tmp_path):
    (tmp_path / "bridgelab").write_text(f'#!/bin/sh\nexec {sys.executable} -m bridgelab.cli "$@"\n')
    (tmp_path / "bridgelab").chmod(0o755)
    script = """
        eval "$(bridgelab completion bash)"
        complete -p bridgelab
        compopt() { :; }
        COMP_LINE="bridgelab train bridge=perceiver_idefics2_q"; COMP_POINT=${#COMP_LINE}
        _bridgelab; echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.stdout.splitlines() == [
        "complete -o default -F _bridgelab bridgelab",
        "perceiver_idefics2_question",
    ], done.stderr
