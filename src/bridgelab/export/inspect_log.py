"""Answers as a log of Inspect (inspect_ai), in JSON. Free of torch.

Written for inspect_ai 0.3, whose `log/_log.py` declares `EvalLog` in version 2 and whose `read_eval_log` reads the file.
"""

import json
from typing import Any

import numpy as np

from bridgelab import __version__
from bridgelab.export.task import Task, log_likelihood, tags
from bridgelab.runs.run import Run

SCORER = "bridgelab"


def eval_log(run: Run, task: Task, created: str) -> str:
    """Return a log of one task, with one sample for each example.

    Args:
        run: whose answers they are.
        task: of the run.
        created: when the run's record was written, in ISO 8601 with the offset of its time zone.
    """
    scores = task.rows["score"].to_numpy(float)
    metrics = {"mean": float(scores.mean())}
    if len(scores) > 1:
        metrics["stderr"] = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    model = f"bridgelab/{run.bridge}"
    counts = {"total_samples": len(scores), "completed_samples": len(scores)}
    content = {
        "version": 2,
        "status": "success",
        "eval": {
            "created": created,
            "task": task.name,
            "model": model,
            "model_args": {"run": run.name, "seed": run.seed, "data_seed": run.data_seed},
            "dataset": {"name": task.name, "samples": len(scores)},
            "config": {},
            "packages": {"bridgelab": __version__},
            "metadata": {"config_hash": run.record.get("config_hash")},
        },
        "results": counts | {"scores": [_scored(metrics)]},
        "samples": [_sample(row, model) for row in task.rows.to_dict("records")],
    }
    return json.dumps(content, ensure_ascii=False)


def _scored(metrics: dict[str, float]) -> dict[str, Any]:
    named = {name: {"name": name, "value": value} for name, value in metrics.items()}
    return {"name": SCORER, "scorer": SCORER, "metrics": named}


def _sample(row: dict[str, Any], model: str) -> dict[str, Any]:
    said = {"role": "assistant", "content": row["prediction"]}
    prompt = row.get("prompt")
    return {
        "id": row["id"],
        "epoch": 1,
        "input": prompt if isinstance(prompt, str) else "",
        "target": row["target"],
        "output": {"model": model, "completion": row["prediction"], "choices": [{"message": said}]},
        "scores": {SCORER: {"value": float(row["score"]), "answer": row["prediction"]}},
        "metadata": {"image": row["image"], "log_likelihood": log_likelihood(row), **tags(row)},
    }
