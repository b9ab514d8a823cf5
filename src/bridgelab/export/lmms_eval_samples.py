"""Answers as lmms-eval logs samples (`--log_samples`): one JSON object a line. Free of torch.

Written for lmms-eval 0.7, whose `evaluator.py` and `loggers/evaluation_tracker.py` write such lines and whose
`baselines/loader.py` reads them for `--baseline`.
"""

import hashlib
import json
from typing import Any

from bridgelab.export.task import Task, log_likelihood, tags


def samples(task: Task) -> str:
    """Return a task's samples as JSON lines, in the order of predictions.parquet.

    lmms-eval pairs runs by `doc_id`, the number of the row, and takes `score` from the first key that holds that word.
    """
    return "".join(
        json.dumps(_sample(number, row), ensure_ascii=False) + "\n"
        for number, row in enumerate(task.rows.to_dict("records"))
    )


def _sample(number: int, row: dict[str, Any]) -> dict[str, Any]:
    sample = {
        "doc_id": number,
        "target": row["target"],
        "filtered_resps": [row["prediction"]],
        "doc_hash": hashlib.sha256(f"{row['kind']}/{row['id']}".encode()).hexdigest(),
        "score": float(row["score"]),
        "log_likelihood": log_likelihood(row),
        "id": row["id"],
        "image": row["image"],
        "tags": tags(row),
    }
    return sample | ({"input": row["prompt"]} if isinstance(row.get("prompt"), str) else {})
