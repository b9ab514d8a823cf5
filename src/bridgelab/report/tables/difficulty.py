"""Accuracy against difficulty: by each tag that counts something, such as hops, objects or program length."""

from dataclasses import dataclass

from bridgelab.report.row import by_role, label
from bridgelab.report.table import Cell, Table, percent_cell
from bridgelab.runs.study import Study
from bridgelab.statistics.difficulty_levels import difficulty_levels, numeric_tags
from bridgelab.statistics.estimate import Estimate, Runs, Sample


@dataclass(frozen=True)
class Difficulty:
    """Accuracy by the levels of one tag.

    Args:
        tag: its name.
        levels: as printed, from the easiest on: a number, or a range of numbers.
        means: mean of the tag at each level.
        questions: number of questions at each level.
        accuracy: at each level, by bridge, floor or ceiling.
    """

    tag: str
    levels: tuple[str, ...]
    means: tuple[float, ...]
    questions: tuple[int, ...]
    accuracy: dict[str, tuple[Estimate, ...]]


def by_difficulty(study: Study) -> list[Difficulty]:
    """Return accuracy by every tag that counts something and has at least two levels."""
    questions = study.questions
    tags = numeric_tags(questions)
    levels_of = {tag: difficulty_levels(values) for tag, values in tags.items()}
    levels_of = {tag: spans for tag, spans in levels_of.items() if len(spans) > 1}
    if not levels_of:
        return []
    sample = Sample(study.clusters[questions.index])
    rows = {
        name: (study.scores(name), Runs(tuple(run.data_seed for run in study.of(name))))
        for name in by_role(study)
    }
    difficulties = []
    for tag, spans in levels_of.items():
        values = tags[tag].to_numpy()
        masks = [(values >= low) & (values <= high) for low, high in spans]
        difficulties.append(
            Difficulty(
                tag=tag,
                levels=tuple(f"{low:g}" if low == high else f"{low:g}–{high:g}" for low, high in spans),
                means=tuple(float(values[mask].mean()) for mask in masks),
                questions=tuple(int(mask.sum()) for mask in masks),
                accuracy={
                    name: tuple(sample.mean(scores, seeds, mask) for mask in masks)
                    for name, (scores, seeds) in rows.items()
                },
            )
        )
    return difficulties


def difficulty_table(difficulty: Difficulty) -> Table:
    """Return one row per bridge, floor or ceiling and one column per level."""
    counts = zip(difficulty.levels, difficulty.questions, strict=True)
    rows = tuple(
        ("bridge", (Cell(label(name)), *map(percent_cell, estimates)))
        for name, estimates in difficulty.accuracy.items()
    )
    return Table(
        f"Accuracy by {difficulty.tag.replace('_', ' ')}, % (questions)",
        ("bridge", *(f"{level} ({questions})" for level, questions in counts)),
        rows,
    )
