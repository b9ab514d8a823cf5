"""`bridgelab dashboard`: the W&B workspace of these studies as code, so that every project has the same one."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces
from pydantic import Field

from bridgelab.atomic import write_text
from bridgelab.printable import printable
from bridgelab.report.answer import answer, compared, without_baseline
from bridgelab.report.formats.markdown import escape, matrix_to_markdown
from bridgelab.report.matrix import matrix
from bridgelab.report.summary import summarize
from bridgelab.runs.identity import WANDB_ID
from bridgelab.runs.record_schema import Checked, checked, read_json
from bridgelab.runs.study import read_runs, read_study
from bridgelab.statistics.verdict import verdict

ROW = panels.Config("row")  # the key that `training.loggers.wandb_logger` writes
SAVED = "wandb_workspaces.json"  # in a study's folder
MOST_BARS = 8  # charts of accuracy by one tag
WORLD = (
    *(f"test/accuracy/type={kind}" for kind in (
        "exist", "count", "query_color", "query_shape", "compare_integer", "compare_attribute")),
    *(f"test/accuracy/hops={hops}" for hops in range(4)),
    *(f"test/accuracy/program_length={length}" for length in (3, 8, 13)),
    "test/accuracy", "test/cider", "test/caption_attributes", "test/majority", "test_shuffled/accuracy",
)  # fmt: skip
OVERALL = ("test/accuracy", "test_shuffled/accuracy", "test/majority")
OTHER_SCORES = ("test/cider", "test/caption_attributes", "test/pairs")
CURVES = {
    "validation accuracy": "val/accuracy",
    "validation loss": "val/loss",
    "training loss": "train/loss",
}
COSTS: Mapping[str, str] = {
    "trainable parameters": "costs/trainable_parameters",
    "visual tokens": "costs/visual_tokens",
    "bridge's operations an example": "costs/flops_bridge_forward",
    "seconds of training": "costs/train_seconds",
}


class SavedWorkspace(Checked):
    """W&B's own name and id of a workspace."""

    name: str
    id: str


class SavedWorkspaces(Checked):
    """A study's workspaces at W&B, by ENTITY/PROJECT."""

    workspaces: dict[str, SavedWorkspace] = Field(default_factory=dict)


def dashboard(study: Path | None, *, entity: str, project: str, save: bool) -> str:
    """Print the workspace as JSON, or save it at W&B, in place of what was saved for this study before, and print its URL.

    Args:
        study: a finished study, whose metrics are charted; None for those of the built-in world.
        entity: user or team at W&B.
        project: as in `logger.wandb.project`.
        save: whether to save the workspace at W&B. Printing needs neither network nor API key.
    Returns:
        The text that was printed.
    Raises:
        ValueError: if W&B refuses the workspace, for instance because there is no login.
    """
    metrics = metrics_of(study) if study else WORLD
    if study and (lacking := not_in_wandb(study)):
        sys.stderr.write(f"{lacking}\n")
    charts = workspace(
        metrics,
        entity=entity,
        project=project,
        study=Path(os.path.abspath(study)).name if study else None,  # also of '.'
        answer=answer_panels(study) if study else (),
    )
    if not save:
        model = charts._to_model()  # what save() sends
        text: str = model.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        sys.stdout.write(text + "\n")
        return text
    import wandb

    kept, place = study / SAVED if study else None, f"{entity}/{project}"
    saved = SavedWorkspaces()
    if kept and kept.exists():
        saved = checked(kept, read_json(kept, "Delete it."), SavedWorkspaces, "Delete it.")
    if before := saved.workspaces.get(place):
        charts._internal_name, charts._internal_id = before.name, before.id
    try:
        charts.save()
    except wandb.Error as error:
        deleted = f", or if the workspace was deleted there: rm {shlex.quote(str(kept))}" * bool(before)
        raise ValueError(f"W&B rejected the workspace ({error}). Run: wandb login{deleted}") from error
    sys.stdout.write(charts.url + "\n")
    if kept:
        saved.workspaces[place] = SavedWorkspace(name=charts._internal_name, id=charts._internal_id)
        write_text(kept, saved.model_dump_json() + "\n")
    return str(charts.url)


def metrics_of(study: Path) -> tuple[str, ...]:
    """Return the names of all metrics in a study's records, comparable or not. Malformed records are reported on stderr."""
    runs, unfinished = read_runs(study)
    for missing in unfinished:
        if missing.malformed:
            sys.stderr.write(f"{missing}\n")
    return tuple(dict.fromkeys(name for run in runs for name in run.record["metrics"]))


def not_in_wandb(study: Path) -> str:
    """Return how many finished runs were never logged to W&B, so that no chart has them, in one sentence; empty if all were."""
    runs, _ = read_runs(study)
    lacking = sum(not (run.path / WANDB_ID).exists() for run in runs)
    why = "reused from another study, or trained without logger=wandb"
    return f"{lacking} of {len(runs)} finished runs are not in W&B: {why}" if lacking else ""


def answer_panels(study: Path) -> list[panels.MarkdownPanel]:
    """Return the answer of a study and its verdict matrix as markdown; empty if its runs cannot be compared."""
    try:
        found = read_study(study)
        judged = verdict(found)
    except ValueError as error:
        sys.stderr.write(printable(f"the workspace has no verdict: {error}") + "\n")
        return []
    if judged is None:
        why = without_baseline(found) or ("the workspace has no verdict: no two bridges can be compared",)
        sys.stderr.write("".join(f"{printable(line)}\n" for line in why))
        return []
    shown = matrix(judged)
    sentences = [*answer(shown), compared(summarize(found, intervals=False))]
    text = "\n\n".join([*map(escape, sentences), matrix_to_markdown(shown)])
    return [panels.MarkdownPanel(markdown=text, layout=panels.Layout(x=0, y=0, w=24, h=10))]


def workspace(
    metrics: Sequence[str],
    *,
    entity: str,
    project: str,
    study: str | None = None,
    answer: Sequence[panels.MarkdownPanel] = (),
) -> workspaces.Workspace:
    """Return charts of some metrics: answers, reasoning types, difficulty, learning, costs, predictions.

    Args:
        metrics: their names in `metrics.json`.
        entity: user or team at W&B.
        project: at W&B.
        study: the study whose runs are shown; None for all runs of the project.
        answer: shown above the charts.
    """
    tags = _by_tag(metrics)
    counted = {tag for tag, names in tags.items() if all(name.split("=")[1].isdigit() for name in names)}
    overall = [name for name in OVERALL if name in metrics]
    overall += [name for name in metrics if name in OTHER_SCORES]
    by_type = [name for tag, names in tags.items() if tag not in counted for name in names[:MOST_BARS]]
    by_difficulty = [tag for tag in tags if tag in counted and len(tags[tag]) > 1]
    sections: dict[str, list[Any]] = {
        "Verdict": list(answer),
        "Answers": [bars(name) for name in overall],
        "Reasoning: accuracy by type": [bars(name) for name in by_type],
        "Where it breaks: accuracy against difficulty": [
            lines(f"accuracy by {tag}", x=f"difficulty/{tag}", y=f"accuracy by {tag}", range_y=(0, 1))
            for tag in by_difficulty
        ],
        "Learning": [lines(title, x="trainer/global_step", y=name) for title, name in CURVES.items()],
        "Cost: accuracy against what it takes": [pareto(title, cost) for title, cost in COSTS.items()],
        "Choices": [parallel()],
        "Predictions": [panels.WeavePanelSummaryTable(table_name="predictions")],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=study or "bridgelab",
        sections=[
            workspaces.Section(name=name, panels=charts, is_open=True)
            for name, charts in sections.items()
            if charts
        ],
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Config(ROW.name)],
            filters=[workspaces.Config("study") == study] if study else [],
        ),
    )


def _by_tag(metrics: Sequence[str]) -> dict[str, list[str]]:
    """Return the accuracies by one tag, such as `test/accuracy/hops=2`, by the tag's name."""
    by_tag: dict[str, list[str]] = {}
    for name in metrics:
        if match := re.fullmatch("test/accuracy/([^=]+)=.+", name):
            by_tag.setdefault(match[1], []).append(name)
    return by_tag


def lines(title: str, *, x: str, y: str, **options: Any) -> panels.LinePlot:
    """Return a line for each row: the mean over seeds, with the spread from the lowest to the highest."""
    return panels.LinePlot(
        title=title,
        x=panels.Metric(x),
        y=[panels.Metric(y)],
        groupby=ROW,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        **options,
    )


def bars(name: str) -> panels.BarPlot:
    """Return a bar for each row: a metric's mean over seeds, with the spread from the lowest to the highest."""
    return panels.BarPlot(
        title=name,
        metrics=[panels.SummaryMetric(name.replace("=", "/"))],
        groupby=ROW,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )


def pareto(title: str, cost: str) -> panels.ScatterPlot:
    """Return accuracy against a cost, with a line of the highest accuracy at no more than that cost."""
    return panels.ScatterPlot(
        title=f"accuracy against {title}",
        x=panels.SummaryMetric(cost),
        y=panels.SummaryMetric("test/accuracy"),
        log_x=True,
        running_ymax=True,
    )


def parallel() -> panels.ParallelCoordinatesPlot:
    """Return parallel coordinates from the choices of a run to its accuracy."""
    columns: list[Any] = [
        ROW,
        panels.Config("seed"),
        panels.SummaryMetric("costs/visual_tokens"),
        panels.SummaryMetric("costs/trainable_parameters"),
        panels.SummaryMetric("test/accuracy"),
    ]
    return panels.ParallelCoordinatesPlot(
        title="choices", columns=[panels.ParallelCoordinatesPlotColumn(metric=column) for column in columns]
    )
