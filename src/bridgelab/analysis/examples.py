"""Questions to look at: what each bridge answered, chosen so that bridges that disagree are seen, with the images where these lie."""

import base64
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from bridgelab.analysis.records import Study
from bridgelab.analysis.summary import by_role, reasoning_type, rows_of

SHOWN = 36
SIDE = 160  # pixels of a picture, at most


@dataclass(frozen=True)
class Answer:
    """What one bridge said to a question.

    Args:
        said: the answer of most seeds; of as many, the first's.
        right: how many seeds were right.
        seeds: of how many.
    """

    said: str
    right: int
    seeds: int

    @property
    def is_right(self) -> bool:
        """Whether more than half of the seeds were."""
        return 2 * self.right > self.seeds


@dataclass(frozen=True)
class Shown:
    """One question with all bridges' answers, and its pictures as `data:` addresses."""

    id: str
    kind: str
    prompt: str
    target: str
    answers: dict[str, Answer]
    pictures: tuple[str, ...]


def chosen_examples(study: Study, most: int = SHOWN) -> list[Shown]:
    """Questions of every pattern of right and wrong among the bridges that see images, in turn, each time another kind.

    The same study gives the same questions.

    Args:
        most: how many.
    """
    bridges = [name for name in study.bridges if study.of(name)[0].sees == "image"]
    if not bridges:
        return []
    first = study.asked.set_index("id")
    ids = first.index
    tables = {
        name: [rows_of(run, "image", captions=False).loc[ids] for run in study.of(name)]
        for name in study.bridges
    }
    right = {
        name: np.stack([(table["score"] >= 0.5).to_numpy() for table in found])
        for name, found in tables.items()
    }
    pattern = [
        "".join("r" if 2 * right[b][:, k].sum() > len(right[b]) else "w" for b in bridges)
        for k in range(len(ids))
    ]
    kind = (
        [reasoning_type(tag) for tag in first["tag_type"].fillna("")]
        if "tag_type" in first
        else [""] * len(ids)
    )
    picks = _in_turn(pattern, kind, most)
    prompts = first["prompt"] if "prompt" in first else pd.Series([""] * len(ids), index=ids)
    names = [str(first["image"].iloc[k]).split("|") for k in picks]
    pictures = _pictures({one for each in names for one in each}, _root(study))
    return [
        Shown(
            id=str(ids[k]),
            kind=kind[k],
            prompt=str(prompts.iloc[k]),
            target=str(first["target"].iloc[k]),
            answers={
                name: _answer([t["prediction"].iloc[k] for t in tables[name]], right[name][:, k])
                for name in by_role(study)
            },
            pictures=tuple(pictures[one] for one in own if one in pictures),
        )
        for k, own in zip(picks, names, strict=True)
    ]


def _in_turn(pattern: Sequence[str], kind: Sequence[str], most: int) -> list[int]:
    """Rows: one of each pattern after the other, rare patterns as often as common ones; of a pattern, one kind after the other."""
    rng = np.random.default_rng(0)
    waiting: dict[str, list[int]] = {}
    order = rng.permutation(len(pattern))
    for name in sorted(set(pattern)):
        rows = [int(k) for k in order if pattern[k] == name]
        turn: dict[str, int] = {}
        of_kind = []
        for k in rows:
            turn[kind[k]] = turn.get(kind[k], 0) + 1
            of_kind.append((turn[kind[k]], k))
        waiting[name] = [k for _, k in sorted(of_kind, key=lambda each: each[0])]
    picks: list[int] = []
    while len(picks) < most and any(waiting.values()):
        for rows in waiting.values():
            if rows and len(picks) < most:
                picks.append(rows.pop(0))
    return picks


def _answer(said: Sequence[object], right: np.ndarray) -> Answer:
    texts = [str(one) for one in said]
    return Answer(max(texts, key=texts.count), int(right.sum()), len(texts))


def _root(study: Study) -> Path | None:
    """Where the runs had their images from, if that is still there."""
    for run in study.runs:
        path = run.path / "config.yaml"
        if path.exists():
            given = ((yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("benchmark") or {}).get(
                "root"
            )
            if given and Path(given).is_dir():
                return Path(given)
    return None


def _pictures(names: Iterable[str], root: Path | None) -> dict[str, str]:
    """Small pictures as `data:` addresses, by the last two parts of their paths; those that are found."""
    wanted, found = set(names), {}
    for folder, _, files in os.walk(root) if root else ():
        for file in files:
            name = f"{Path(folder).name}/{file}"
            if name in wanted and name not in found:
                try:
                    with Image.open(Path(folder) / file) as opened:
                        image = opened.convert("RGB")
                except OSError:
                    continue
                image.thumbnail((SIDE, SIDE))
                out = io.BytesIO()
                image.save(out, "PNG", optimize=True)
                found[name] = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return found
