"""`bridgelab dashboard`: the W&B workspace of these studies as code, so that every project has the same one."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces

from bridgelab.runs.study import read_runs

BRIDGE = panels.Config("bridge_name")  # as `training.loggers.wandb_logger` calls it
MOST = 8  # charts of accuracy by one tag


def dashboard(study: Path | None, *, entity: str, project: str, save: bool) -> str:
    """Print the workspace as JSON, or save it at W&B.

    Args:
        study: a finished study, whose tags the charts are made for; None for those of the built-in world.
        entity: user or team at W&B.
        project: as in `logger.wandb.project`.
        save: send it; else it is printed, for which neither network nor key is needed.
    Returns:
        its address, or the JSON.
    Raises:
        ValueError: if it is to be saved and W&B does not take it, as where nobody is logged in.
    """
    metrics = metrics_of(study) if study else WORLD
    made = workspace(metrics, entity=entity, project=project, study=study.name if study else None)
    if not save:
        model = made._to_model()  # as save() sends it
        text: str = model.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        sys.stdout.write(text + "\n")
        return text
    import wandb

    try:
        made.save()
    except wandb.Error as error:
        raise ValueError(f"W&B does not take the workspace ({error}). Run: wandb login") from error
    sys.stdout.write(made.url + "\n")
    return str(made.url)


WORLD = (
    *(f"test/accuracy/type={kind}" for kind in (
        "exist", "count", "query_color", "query_shape", "compare_integer", "compare_attribute")),
    *(f"test/accuracy/hops={hops}" for hops in range(4)),
    *(f"test/accuracy/program_length={length}" for length in (3, 8, 13)),
    "test/accuracy", "test/cider", "test/caption_attributes", "test/majority", "test_shuffled/accuracy",
)  # fmt: skip


def metrics_of(study: Path) -> tuple[str, ...]:
    """The names of all metrics in a study's records, whether or not its runs could be compared; records that can't be read are told."""
    runs, unfinished = read_runs(study)
    for one in unfinished:
        if one.malformed:
            sys.stderr.write(f"{one}\n")
    return tuple(dict.fromkeys(name for run in runs for name in run.record["metrics"]))


def workspace(
    metrics: Sequence[str], *, entity: str, project: str, study: str | None = None
) -> workspaces.Workspace:
    """Charts of these metrics: answers, reasoning types, difficulty, learning, costs, predictions.

    Args:
        metrics: by the names that they have in `metrics.json`.
        entity: user or team at W&B.
        project: at W&B.
        study: whose runs alone are shown; None for all of the project.
    """
    by_tag: dict[str, list[str]] = {}
    for name in metrics:
        if re.fullmatch("test/accuracy/[^=]+=.+", name):
            by_tag.setdefault(name.removeprefix("test/accuracy/").split("=")[0], []).append(name)
    counted = [tag for tag, names in by_tag.items() if all(name.split("=")[1].isdigit() for name in names)]
    told = [name for name in ("test/accuracy", "test_shuffled/accuracy", "test/majority") if name in metrics]
    told += [name for name in metrics if name in ("test/cider", "test/caption_attributes", "test/pairs")]
    sections = [
        _section("Answers", [bars(name) for name in told]),
        _section(
            "Reasoning: accuracy by type",
            [bars(name) for tag, names in by_tag.items() if tag not in counted for name in names[:MOST]],
        ),
        _section(
            "Where it breaks: accuracy against difficulty",
            [
                panels.LinePlot(
                    title=f"accuracy by {tag}",
                    x=panels.Metric(f"difficulty/{tag}"),
                    y=[panels.Metric(f"accuracy by {tag}")],
                    groupby=BRIDGE,
                    groupby_aggfunc="mean",
                    groupby_rangefunc="minmax",
                    range_y=(0, 1),
                )
                for tag in counted
                if len(by_tag[tag]) > 1
            ],
        ),
        _section(
            "Learning",
            [
                panels.LinePlot(
                    title=title,
                    x=panels.Metric("trainer/global_step"),
                    y=[panels.Metric(name)],
                    groupby=BRIDGE,
                    groupby_aggfunc="mean",
                    groupby_rangefunc="minmax",
                )
                for title, name in (
                    ("validation accuracy", "val/accuracy"),
                    ("validation loss", "val/loss"),
                    ("training loss", "train/loss"),
                )
            ],
        ),
        _section(
            "Cost: accuracy against what it takes", [pareto(title, cost) for title, cost in COSTS.items()]
        ),
        _section("Choices", [parallel()]),
        _section("Predictions", [panels.WeavePanelSummaryTable(table_name="predictions")]),
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=study or "bridgelab",
        sections=[section for section in sections if section.panels],
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Config("bridge_name")],
            filters=[workspaces.Config("study") == study] if study else [],
        ),
    )


COSTS: Mapping[str, str] = {
    "trainable parameters": "costs/trainable_parameters",
    "visual tokens": "costs/visual_tokens",
    "bridge's operations an example": "costs/flops_bridge_forward",
    "seconds of training": "costs/train_seconds",
}


def bars(name: str) -> panels.BarPlot:
    """A metric's mean over seeds by bridge, with the spread between the least and the most."""
    return panels.BarPlot(
        title=name, metrics=[panels.SummaryMetric(name.replace("=", "/"))], groupby=BRIDGE, groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )  # fmt: skip


def pareto(title: str, cost: str) -> panels.ScatterPlot:
    """Accuracy against a cost; the line is the best that can be had for as much."""
    return panels.ScatterPlot(
        title=f"accuracy against {title}", x=panels.SummaryMetric(cost), y=panels.SummaryMetric("test/accuracy"),
        log_x=True, running_ymax=True,
    )  # fmt: skip


def parallel() -> panels.ParallelCoordinatesPlot:
    """From what was chosen to what came out."""
    columns: list[Any] = [
        BRIDGE, panels.Config("seed"), panels.SummaryMetric("costs/visual_tokens"),
        panels.SummaryMetric("costs/trainable_parameters"), panels.SummaryMetric("test/accuracy"),
    ]  # fmt: skip
    return panels.ParallelCoordinatesPlot(
        title="choices", columns=[panels.ParallelCoordinatesPlotColumn(metric=one) for one in columns]
    )


def _section(name: str, found: Sequence[Any]) -> workspaces.Section:
    return workspaces.Section(name=name, panels=list(found), is_open=True)
