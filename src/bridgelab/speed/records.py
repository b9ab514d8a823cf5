"""Time and memory to read and summarize the records of a large study, and time to compute their intervals.

The records are generated: bridges with random accuracies, a floor and a ceiling, all on the same questions and captions. Reading and
tables run in a process of their own, so that its peak memory is theirs.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bridgelab.doctor.machine import resident_bytes
from bridgelab.runs.finished import RECORD

RECORDS_COLUMNS = (
    "records",
    "predictions",
    "read s",
    "tables s",
    "both, processor s",
    "peak GB",
    "intervals s",
)
KINDS = ("exist", "count", "query_color", "compare_shape", "greater_than")
SHUFFLED = "shuffled"
CONFIG = "train:\n" + "".join(f"  choice_{k}: {k}\n" for k in range(120))  # about as many as a run has


@dataclass(frozen=True)
class Size:
    """Size of a generated study.

    Args:
        bridges: blind and words included.
        seeds: of each.
        questions: of each run, each with its image and with another one.
        captions: likewise.
    """

    bridges: int = 100
    seeds: int = 100
    questions: int = 430
    captions: int = 80


def records_row(folder: Path, size: Size | None = None) -> list[str]:
    """Return a row under `RECORDS_COLUMNS`.

    Args:
        folder: for the records; it must not exist yet.
    """
    size = size or Size()
    predictions = write_records(folder, size)
    process = subprocess.run(
        [sys.executable, "-m", "bridgelab.speed.records", str(folder)],
        capture_output=True,
        check=True,
        text=True,
    )
    result = json.loads(process.stdout)
    if result["runs"] != size.bridges * size.seeds:
        raise RuntimeError(f"{result['runs']} of {size.bridges * size.seeds} records were read.")
    return [
        f"{result['runs']:,}",
        f"{predictions:,}",
        *(f"{result[name]:.1f}" for name in ("read", "tables", "processor")),
        f"{result['peak'] / 1e9:.2f}",
        f"{result['intervals']:.1f}",
    ]


def write_records(folder: Path, size: Size) -> int:
    """Write a study's records, and return the number of their predictions."""
    rng = np.random.default_rng(0)
    written = 0
    rows = {view: _rows(size, view) for view in ("image", SHUFFLED)}
    both = pa.concat_tables(rows.values())
    for name, sees, chance in _bridges(size, rng):
        table = both if sees == "image" else rows["image"]
        for seed in range(size.seeds):
            path = folder / f"bridge={name},seed={seed}"
            path.mkdir(parents=True)
            right = rng.random(len(table)) < chance
            answers = {"prediction": pa.array(np.where(right, "yes", "no")), "score": pa.array(right * 1.0)}
            own = table
            for column, values in answers.items():
                own = own.append_column(column, values)
            pq.write_table(own, path / "predictions.parquet")
            written += len(own)
            record = _record(path, name, sees, seed, float(right.mean()))
            (path / RECORD).write_text(json.dumps(record))
            (path / "config.yaml").write_text(f"bridge:\n  _target_: {name}\nseed: {seed}\n{CONFIG}")
    return written


def _bridges(size: Size, rng: np.random.Generator) -> Iterator[tuple[str, str, float]]:
    yield "blind", "nothing", 0.4
    yield "words", "words", 0.95
    yield "linear", "image", 0.7
    for number in range(size.bridges - 3):
        yield f"bridge_{number}", "image", float(rng.uniform(0.5, 0.9))


def _rows(size: Size, view: str) -> pa.Table:
    """Return the rows of one view, two questions an image, without the predictions."""
    number = size.questions + size.captions
    asked = np.arange(number) < size.questions
    each = [f"test-{'question' if is_asked else 'caption'}-{k}" for k, is_asked in enumerate(asked)]
    return pa.table(
        {
            "id": each,
            "image": [f"test/CLEVR_test_{k // 2:06d}.png" for k in range(number)],
            "kind": np.where(asked, "answer", "caption"),
            "view": [view] * number,
            "prompt": [
                f"are there more small rubber things than large metal ones beside {k} ?"
                for k in range(number)
            ],
            "target": ["yes"] * number,
            "likelihood": np.full(number, -0.5),
            "majority": np.where(np.arange(number) % 2, "yes", "no"),
            "tag_type": [
                KINDS[k % len(KINDS)] if is_asked else "caption" for k, is_asked in enumerate(asked)
            ],
            "tag_hops": np.arange(number) % 4,
            "tag_objects": np.arange(number) % 8 + 3,
        }
    )


def _record(path: Path, bridge: str, sees: str, seed: int, accuracy: float) -> dict[str, object]:
    """Return a record with the keys that reading a study needs."""
    trains = sees != "words"
    return {
        "study": path.parent.name, "overrides": path.name, "bridge": bridge, "sees": sees, "conditioning": "none",
        "benchmark": "world", "insert": "encoder_input", "positions": False, "seed": seed, "data_seed": 0,
        "lr": 0.01 if trains else None, "tuned_over": [0.0025, 0.005, 0.01] if trains else [],
        "steps": 4500 if trains else 0, "examples_seen": 72000 if trains else 0,
        "mixture": {"answer": 32400, "caption": 39600} if trains else {}, "precision": "bf16",
        "features_dtype": "bfloat16" if sees == "image" else None,
        "fingerprints": {"vision": "generated", "text": "generated", "data": "generated"},
        "costs": {
            "trainable_parameters": 20608 if trains else 0, "visual_tokens": 16, "flops_bridge_forward": 1e6,
            "flops_bridge_backward": 2e6, "flops_text_forward": 2e8, "flops_text_backward": 4e8,
        },
        "curve": [[step, accuracy] for step in range(0, 4501, 900)] if trains else [],
        "metrics": {f"test/accuracy/type={kind}": accuracy for kind in KINDS}
        | {"test/accuracy": accuracy, "test/caption_attributes": accuracy, "test/cider": 8.0},
    }  # fmt: skip


def measure(folder: Path) -> dict[str, float]:
    """Read and tabulate a study, compute its accuracies' intervals, and return seconds, bytes and the number of runs."""
    from bridgelab.report.formats.markdown import to_markdown
    from bridgelab.report.summary import summarize
    from bridgelab.report.tables.study import study_tables
    from bridgelab.runs.study import read_study
    from bridgelab.statistics.estimate import Runs, Sample

    began, processor = time.perf_counter(), time.process_time()
    study = read_study(folder)
    read = time.perf_counter()
    to_markdown(study_tables(summarize(study, intervals=False)))
    tabulated, processor, peak = time.perf_counter(), time.process_time() - processor, resident_bytes("VmHWM")
    sample = Sample(study.clusters[study.questions.index])
    for bridge in study.bridges:
        runs = Runs(tuple(run.data_seed for run in study.of(bridge)))
        _ = sample.mean(study.scores(bridge), runs).interval
    return {
        "runs": len(study.runs), "read": read - began, "tables": tabulated - read, "processor": processor, "peak": peak,
        "intervals": time.perf_counter() - tabulated,
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))))
