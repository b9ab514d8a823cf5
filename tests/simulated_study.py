"""Simulated studies: run folders as training writes them, with planted accuracies."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridgelab.report.diagnosis.record import PROBE_TARGETS, SINGLE_RUN, Diagnosis, Map, write_diagnosis
from bridgelab.statistics.contrast import Contribution
from bridgelab.statistics.estimate import Estimate
from bridgelab.world.scene import ATTRIBUTES

TYPES = ("exist", "count", "query_color", "compare_shape", "greater_than")
TRUTH = {
    "linear": dict(zip(TYPES, (0.70, 0.50, 0.60, 0.62, 0.66), strict=True)),
    "mlp": dict(zip(TYPES, (0.72, 0.51, 0.63, 0.63, 0.66), strict=True)),
    "qformer": dict(zip(TYPES, (0.75, 0.45, 0.75, 0.60, 0.64), strict=True)),
    "perceiver": dict(zip(TYPES, (0.78, 0.55, 0.78, 0.62, 0.68), strict=True)),
    "blind": dict(zip(TYPES, (0.52, 0.28, 0.20, 0.55, 0.62), strict=True)),
    "words": dict(zip(TYPES, (0.92, 0.80, 0.96, 0.88, 0.68), strict=True)),
    "words_prompted": dict(zip(TYPES, (0.94, 0.84, 0.97, 0.90, 0.69), strict=True)),
}
SEES = {"blind": "nothing", "words": "words", "words_prompted": "words"}
TOKENS = {"linear": 64, "mlp": 64, "words": 0}
COLORS = ("red", "blue", "green", "gray")


class Simulated:
    """Writer of simulated studies, whose run folders a test can then change.

    A score is 1 with probability truth + image effect + seed effect; the image effect is the same for all
    bridges.
    """

    def __init__(self, root: Path):
        self.root = root

    def write(
        self,
        name: str = "first_look",
        *,
        bridges: dict[str, dict[str, float]] = TRUTH,
        seeds: tuple[int, ...] = (0, 1, 2),
        images: int = 40,
        converged: bool = True,
        seed_effect: float = 0.01,
        draw: int = 0,
    ) -> Path:
        study = self.root / name
        rng = np.random.default_rng(draw)
        hard = rng.normal(0, 0.08, images)
        for bridge, truth in bridges.items():
            for seed in seeds if bridge != "words" else (0,):
                own = rng.normal(0, seed_effect)
                rows = self._rows(rng, truth, hard + own, images)
                if SEES.get(bridge, "image") == "image":
                    rows += self._rows(
                        rng, bridges.get("blind", truth), hard, images, view="shuffled", captions=0
                    )
                self._write_run(
                    study / f"bridge={bridge},seed={seed}", bridge, seed, pd.DataFrame(rows), converged
                )
        return study

    def _rows(self, rng, truth, effect, images, *, view="image", captions=True):
        rows = []
        for image in range(images):
            name = f"{image}.png"
            for kind in truth:
                right = float(rng.random() < np.clip(truth[kind] + effect[image], 0, 1))
                rows.append(
                    {
                        "id": f"{image}-{kind}", "image": name, "kind": "answer", "view": view,
                        "target": "yes", "prediction": "yes" if right else "no",
                        "score": right, "likelihood": -0.5,
                        "majority": "yes" if image % 2 else "no", "tag_type": kind, "tag_hops": 1,
                    }
                )  # fmt: skip
            if captions:
                answer, target = rng.choice(COLORS), COLORS[image % 4]
                rows.append(
                    {
                        "id": f"{image}-caption", "image": name, "kind": "caption", "view": view,
                        "target": f"a {target} cube {image % 7}", "prediction": f"a {answer} cube {image % 7}",
                        "score": 0.75, "likelihood": -2.0, "majority": None, "tag_type": None,
                        "tag_hops": None,
                    }
                )  # fmt: skip
        return rows

    def _write_run(self, path: Path, bridge: str, seed: int, rows: pd.DataFrame, converged: bool) -> None:
        path.mkdir(parents=True)
        rows.to_parquet(path / "predictions.parquet")
        trained = bridge != "words"
        answers = rows[(rows["kind"] == "answer") & (rows["view"] == "image")]
        # The caption loss, if there are captions alone.
        end = float(answers["score"].mean()) if len(answers) else 0.75
        late = 0.0 if converged else 0.05
        curve = [[0, 0.2], [400, end - late - 0.1], [800, end - late], [1000, end]]
        record = {
            "study": path.parent.name, "overrides": path.name, "bridge": bridge,
            "sees": SEES.get(bridge, "image"), "conditioning": "none", "benchmark": "world",
            "insert": "encoder_input", "positions": False,
            "seed": seed, "data_seed": 0, "lr": 0.001,
            "tuned_over": [0.0003, 0.001, 0.003] if trained else [], "steps": 1000 if trained else 0,
            "examples_seen": 64000 if trained else 0,
            "mixture": {"answer": 0.8, "caption": 0.2} if trained else {},
            "fingerprints": {"vision": "aa", "text": "bb"},
            "features_dtype": "bfloat16" if SEES.get(bridge, "image") == "image" else None, "git_sha": "0123456789ab", "config_hash": "cc",
            "versions": {"torch": "2"}, "machine": "A processor with quite a long name for its kind, 2 cores",
            "costs": {
                "trainable_parameters": 16512 if trained else 0, "visual_tokens": TOKENS.get(bridge, 16),
                "flops_bridge_forward": 1e6, "flops_bridge_backward": 2e6, "flops_text_forward": 3e8,
                "flops_text_backward": 6e8, "train_seconds": 60.0, "wall_seconds": 70.0,
            },
            "curve": curve if trained else [],
            "budgets": [{"steps": 500, "value": end - late}, {"steps": 1000, "value": end}] if trained else [],
            "metrics": {"test/accuracy": end, "test/caption_attributes": 0.75, "test/cider": 1.25},
        }  # fmt: skip
        (path / "metrics.json").write_text(json.dumps(record))


@pytest.fixture
def simulated(tmp_path: Path) -> Simulated:
    return Simulated(tmp_path / "runs")


@pytest.fixture
def change() -> Callable[..., None]:
    """Return a function that changes values of one run's record: change(path, seed=4, fingerprints={...})."""

    def _change(path: Path, **values: object) -> None:
        record = json.loads((path / "metrics.json").read_text())
        (path / "metrics.json").write_text(json.dumps(record | values))

    return _change


NUMBERS = (
    *(f"selection/{name}" for name in ("visited", "others", "background", "random", "selection", "base")),
    *(f"clutter/{name}" for name in ("plain", "cluttered", "cost", "likelihood_cost")),
    *(f"background/{patch}/{name}" for patch in ("own", "beside", "apart", "guessed") for name in ATTRIBUTES),
    *(f"probe/{of}/{name}" for of in ("guessed", "patches", "tokens") for name in PROBE_TARGETS),
    *("rank/within_image", "rank/over_images", "words/cosine", "words/cosine_of_words", "words/gap"),
)


@pytest.fixture
def diagnosed() -> Callable[..., None]:
    """Return a function that writes a diagnosis with random numbers and maps into each run whose bridge sees images."""

    def _diagnosed(study: Path, ids: Sequence[str] = ()) -> None:
        rng = np.random.default_rng(0)
        for run in sorted(study.glob("bridge=*")):
            record = json.loads((run / "metrics.json").read_text())
            if record["sees"] != "image":
                continue
            attends = record["bridge"] in ("qformer", "perceiver")
            names = (*NUMBERS, *(("attention/visited", "attention/others", "attention/background") * attends))
            values = {name: rng.uniform(0.2, 0.6) for name in names}
            result = Diagnosis(
                bridge=record["bridge"], seed=record["seed"], data_seed=0, benchmark="world",
                made_of={"config": "cc", "looked_at": {"questions": 400}},
                numbers={
                    name: Estimate(one, {SINGLE_RUN: Contribution(np.array([one]), 0.007 * rng.normal(size=(1, 50)), np.arange(50), 50, 0.0)})
                    for name, one in values.items()
                },
                counts={"questions": 390, "fit": 1500, "images": 400, "fields": 2100, "objects": 2600},
                words=(("red", 0.3), ("<b>cube</b>", 0.1)),
                maps=tuple(
                    Map(one, "<b>yes", rng.normal(size=(4, 4)), rng.random((4, 4)) if attends else None) for one in ids
                ),
            )  # fmt: skip
            write_diagnosis(run, result)

    return _diagnosed
