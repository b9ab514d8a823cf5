import shutil

import pandas as pd
import pytest
import torch

from bridgelab.evaluation.distributed import Processes, processes
from bridgelab.training.checkpoint import LAST


def of_seen(folder):
    table = pd.read_csv(folder / "metrics.csv")
    return table[table["val/accuracy"].notna()][["step", "val/accuracy", "val/loss"]].to_numpy()


@pytest.mark.parametrize(("number", "adapt"), [(2, "lora"), (3, "none")])
def test_several_processes_predict_what_one_does(program, tmp_path, number, adapt):
    """Uneven: 21 questions and 28 captions in batches of 4, over 2 and 3 processes. LoRA is trained and put back like a bridge."""
    choices = ("evaluate.captioned=describe left to right", f"text.adapt={adapt}")
    program(tmp_path / "several", number, *choices)
    rows = pd.read_parquet(tmp_path / "several" / "predictions.parquet")
    assert rows.groupby(["kind", "view"]).size().to_dict() == {
        ("answer", "image"): 21, ("answer", "shuffled"): 21, ("answer", "captioned"): 21,
        ("caption", "image"): 28, ("caption", "shuffled"): 28,
    }  # fmt: skip
    assert not rows.duplicated(["kind", "view", "id"]).any()
    # The same weights in one process: it finds its training done.
    (tmp_path / "one").mkdir()
    for name in (LAST, "config.yaml", "config.hash"):
        shutil.copy(tmp_path / "several" / name, tmp_path / "one" / name)
    program(tmp_path / "one", 1, *choices)
    names = [f"{folder}/predictions.parquet" for folder in ("several", "one")]
    assert (tmp_path / names[0]).read_bytes() == (tmp_path / names[1]).read_bytes()


@pytest.mark.parametrize(
    "overrides",
    [(), ("model.insert=cross_attention",)],
    ids=",".join,
)
def test_validation_is_shared_too_and_a_run_of_two_is_taken_up_again(program, tmp_path, overrides):
    program(tmp_path / "one", 1, *overrides)
    program(tmp_path / "two", 2, *overrides)
    assert of_seen(tmp_path / "two") == pytest.approx(of_seen(tmp_path / "one"), rel=1e-3)
    curve = torch.load(tmp_path / "two" / LAST, weights_only=True)["callbacks"]["Curve"]["curve"]
    assert [step for step, _ in curve] == [2, 4]
    before = (tmp_path / "two" / "predictions.parquet").read_bytes()
    for name in ("metrics.json", "predictions.parquet"):
        (tmp_path / "two" / name).unlink()
    # It ended while it evaluated: training is done, and evaluation is shared again.
    program(tmp_path / "two", 2, *overrides)
    assert (tmp_path / "two" / "predictions.parquet").read_bytes() == before


def test_one_process_has_what_it_found():
    with processes() as alone:
        assert (alone.rank, alone.world_size) == (0, 1)
        assert alone.gather([["ä", -1.5, None]]) == [["ä", -1.5, None]]
    assert Processes().gather([]) == []
