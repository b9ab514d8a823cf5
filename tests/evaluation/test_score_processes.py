"""Metrics over two processes that talk by gloo: their states meet, and scoring gathered predictions waits for nobody."""

import json
import multiprocessing

import pytest
import torch.distributed as dist

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy
from bridgelab.evaluation.predict import Prediction
from bridgelab.evaluation.score import score

EXAMPLES = [
    Example(
        str(k), ("/a/x.png",), "?", ("true" if k % 3 else "false",), "true_false", {"group": f"ü{k // 2}"}
    )
    for k in range(9)
]
PREDICTIONS = ["true"] * len(EXAMPLES)


class Prepared(list):
    examples = EXAMPLES


def scored():
    predictions = {("true_false", "image"): [Prediction(text, -1.0) for text in PREDICTIONS]}
    metrics = {"true_false": GroupAccuracy(by=("group",))}
    return score(predictions, {"true_false": Prepared(EXAMPLES)}, metrics, {})[1]


def take_part(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metric = GroupAccuracy(by=("group",))
    metric.update(PREDICTIONS[rank::2], EXAMPLES[rank::2])
    (folder / f"{rank}.json").write_text(json.dumps(metric.compute()))
    if rank == 0:
        (folder / "scored.json").write_text(json.dumps(scored()))
    dist.barrier()
    dist.destroy_process_group()


def test_states_meet_and_gathered_predictions_are_scored_alone(tmp_path):
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=take_part, args=(rank, tmp_path)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    whole = GroupAccuracy(by=("group",))
    whole.update(PREDICTIONS, EXAMPLES)
    expected = whole.compute()
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(expected, abs=1e-12)
    assert json.loads((tmp_path / "scored.json").read_text()) == scored()
    assert scored()["test/consistency"] == expected["consistency"]
