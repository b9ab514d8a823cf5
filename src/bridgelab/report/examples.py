"""Questions to look at: what each bridge answered, chosen so that bridges that disagree are seen, with the images where these lie."""

import base64
import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bridgelab.data.images import read_image
from bridgelab.report.summary import by_role, rows_of
from bridgelab.runs.record_schema import read_yaml
from bridgelab.runs.study import Study
from bridgelab.statistics.question_kinds import reasoning_type

SHOWN = 36
SIDE = 160  # pixels of a picture, at most
DEEPEST = 6  # levels of folders in which pictures are looked for
MOST_ENTRIES = 2_000_000  # files and folders there


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
    first = study.questions.set_index("id")
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
            benchmark = read_yaml(path).get("benchmark")
            given = benchmark.get("root") if isinstance(benchmark, dict) else None
            with contextlib.suppress(OSError):  # a name that no folder can have
                if isinstance(given, str) and given and Path(given).is_dir():
                    return Path(given)
    return None


def _pictures(names: Iterable[str], root: Path | None) -> dict[str, str]:
    """Small pictures as `data:` addresses, by the last two parts of their paths; those that are found and can be read.

    Where they lie a record says, which may be anybody's: links are not followed, and the search has an end.
    """
    wanted: dict[str, list[str]] = {}
    for name in names:
        parent, _, file = name.rpartition("/")
        if file not in ("", ".", "..") and "/" not in parent:
            wanted.setdefault(parent, []).append(file)
    found: dict[str, str] = {}
    for folder in _folders(root) if root else ():
        for file in wanted.get(folder.name, ()):
            name = f"{folder.name}/{file}"
            with contextlib.suppress(ValueError, OSError):
                if name not in found and not (folder / file).is_symlink():
                    found[name] = _small(folder / file)
        if len(found) == sum(map(len, wanted.values())):
            break
    return found


def _folders(root: Path) -> Iterator[Path]:
    """A folder and those below it, near ones first: at most `DEEPEST` levels, and not past `MOST_ENTRIES` files and folders."""
    level, left = [root], MOST_ENTRIES
    for _ in range(DEEPEST):
        yield from level
        below = []
        for folder in level:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        below.append(Path(entry.path))
        level = sorted(below)


def _small(path: Path) -> str:
    image = Image.fromarray(read_image(path))
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
