import json
import shutil

import pandas as pd
import pytest
import torch

from bridgelab.training import experiment as settings
from bridgelab.training.checkpoint import LAST
from bridgelab.training.compile import check_compiler

COMPILER = shutil.which("g++") or shutil.which("clang++")


def losses(folder):
    return pd.read_csv(folder / "metrics.csv")["train/loss"].dropna().to_numpy()


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler, and there is none")
@pytest.mark.parametrize(
    "chosen",
    [("bridge=mlp",), ("bridge=mlp", "text.adapt=lora")],
    ids=",".join,
)
def test_compiled_steps_are_the_eager_ones(program, tmp_path, chosen):
    choices = ("train.log_every=1", *chosen)
    program(tmp_path / "eager", 1, *choices)
    program(tmp_path / "compiled", 1, *choices, "compile=true")
    assert len(losses(tmp_path / "eager")) == 4
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "eager"), rel=1e-5)
    records, states = (
        [read(tmp_path / name) for name in ("eager", "compiled")]
        for read in (
            lambda folder: json.loads((folder / "metrics.json").read_text()),
            lambda folder: torch.load(folder / LAST, weights_only=True)["state_dict"],
        )
    )
    assert [record["compiled"] for record in records] == [False, True]
    assert records[0]["config_hash"] == records[1]["config_hash"]
    assert states[0].keys() == states[1].keys()
    # Either goes on from the other's checkpoint; here both are at their end, and are asked again.
    shutil.copy(tmp_path / "compiled" / LAST, tmp_path / "eager" / LAST)
    (tmp_path / "eager" / "metrics.json").unlink()
    program(tmp_path / "eager", 1, *choices)
    tables = [(tmp_path / name / "predictions.parquet").read_bytes() for name in ("eager", "compiled")]
    assert tables[0] == tables[1]


def test_what_cannot_be_compiled_is_told_before_anything_is_read(config, monkeypatch):
    given = config("compile=true")
    monkeypatch.setattr(settings, "Backbones", None)
    for variables, match in (
        ({"PATH": "/nowhere"}, r"compile=true on cpu needs a C\+\+ compiler, and there is no g\+\+ or clang\+\+"),
        ({"CXX": "/no/such/g++"}, r"there is no /no/such/g\+\+\. Install it \(or name it in \$CXX\), or set compile=false"),
    ):  # fmt: skip
        with monkeypatch.context() as patched:
            for name in ("CXX", "CC"):
                patched.delenv(name, raising=False)
            for name, value in variables.items():
                patched.setenv(name, value)
            with pytest.raises(ValueError, match=match):
                settings.Experiment.set_up(given, "cpu")
    with pytest.raises(
        ValueError, match=r"^compile=true with MatryoshkaQueries, which draws .* Set compile=false\.$"
    ):
        settings.Experiment.set_up(config("compile=true", "bridge=matryoshka"), "cpu")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="compile=true on cuda needs the package triton"):
        check_compiler(torch.device("cuda"))
