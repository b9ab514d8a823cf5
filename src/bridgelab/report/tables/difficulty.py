"""Accuracy against what makes a question hard: each tag that counts something, such as hops, objects, program length."""

from dataclasses import dataclass

from bridgelab.report.summary import by_role, label
from bridgelab.report.table import Cell, Table, percent
from bridgelab.runs.study import Study
from bridgelab.statistics.difficulty_levels import difficulty_levels, numeric_tags
from bridgelab.statistics.estimate import Estimate, Runs, Sample


@dataclass(frozen=True)
class Difficulty:
    """Accuracy by the levels of one tag.

    Args:
        tag: its name.
        levels: as printed, from the easiest on: a number, or a range.
        places: the mean of each level.
        questions: of each level.
        accuracy: of each level, by bridge, floor or ceiling.
    """

    tag: str
    levels: tuple[str, ...]
    places: tuple[float, ...]
    questions: tuple[int, ...]
    accuracy: dict[str, tuple[Estimate, ...]]


def by_difficulty(study: Study) -> list[Difficulty]:
    """All tags that count something and have two levels or more."""
    asked = study.questions
    counted = numeric_tags(asked)
    chosen = {name: difficulty_levels(values) for name, values in counted.items()}
    chosen = {name: found for name, found in chosen.items() if len(found) > 1}
    if not chosen:
        return []
    sample = Sample(study.clusters[asked.index])
    bridges = {
        name: (study.scores(name), Runs(tuple(run.data_seed for run in study.of(name))))
        for name in by_role(study)
    }
    made = []
    for name, found in chosen.items():
        values = counted[name].to_numpy()
        masks = [(values >= low) & (values <= high) for low, high in found]
        made.append(
            Difficulty(
                tag=name,
                levels=tuple(f"{low:g}" if low == high else f"{low:g}–{high:g}" for low, high in found),
                places=tuple(float(values[mask].mean()) for mask in masks),
                questions=tuple(int(mask.sum()) for mask in masks),
                accuracy={
                    bridge: tuple(sample.mean(scores, own, mask) for mask in masks)
                    for bridge, (scores, own) in bridges.items()
                },
            )
        )
    return made


def difficulty_table(difficulty: Difficulty) -> Table:
    """One row a bridge, floor or ceiling, one column a level."""
    heads = [
        f"{level} ({questions})"
        for level, questions in zip(difficulty.levels, difficulty.questions, strict=True)
    ]
    name = difficulty.tag.replace("_", " ")
    rows = tuple(
        ("bridge", (Cell(label(bridge)), *(percent(one) for one in estimates)))
        for bridge, estimates in difficulty.accuracy.items()
    )
    return Table(f"Accuracy by {name}, % (questions)", ("bridge", *heads), rows)
