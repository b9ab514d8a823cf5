"""Publish a run's trained bridge on the Hugging Face hub: `bridgelab push`. Its layout is that of `bridge/hub.py`."""

import json
import logging
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError
from omegaconf import DictConfig, OmegaConf

from bridgelab import __version__
from bridgelab.backbones import Backbones
from bridgelab.bridge.hub_repository import CONFIG, TRANSPORT_ERROR, WEIGHTS
from bridgelab.bridge.init_from import PACKAGED_READERS
from bridgelab.bridge.weights import write_weights
from bridgelab.config.instantiate import is_own, target
from bridgelab.evaluation.load import BUILT, load_trained
from bridgelab.evaluation.push_check import NEEDED, check_push, explained
from bridgelab.model import BridgedModel
from bridgelab.printable import printable
from bridgelab.report.formats.markdown import render_markdown
from bridgelab.report.row import ALL
from bridgelab.report.summary import Summary, summarize
from bridgelab.report.table import Cell, decimal_cell, percent_cell
from bridgelab.runs.identity import LOCAL
from bridgelab.runs.identity import WEIGHTS as WEIGHT_KEYS
from bridgelab.runs.predictions import Answers
from bridgelab.runs.quoted import quoted
from bridgelab.runs.record_schema import read_record
from bridgelab.runs.run import Run
from bridgelab.runs.run_name import row_keys
from bridgelab.runs.study import Study
from bridgelab.statistics.estimate import Estimate

TEMPLATES = Path(__file__).parent / "templates"
CARD = "README.md"
# The hub's task of each of the record's metrics that the card's header names.
TASKS = {"accuracy": "visual-question-answering", "cider": "image-to-text"}
# Column and unit of each score of captions.
CAPTION_SCORES: dict[str, tuple[str, Callable[[Estimate | None], Cell]]] = {
    "cider": ("CIDEr-D", decimal_cell),
    "attributes": ("attributes right", percent_cell),
}
log = logging.getLogger(__name__)


def push(
    run: Path, repo: str, *, private: bool = False, license_id: str | None = None, trust: bool = False
) -> str:
    """Publish a run's bridge, and return the address of the commit.

    Args:
        run: a finished run's folder.
        repo: `ORG/NAME`; it is created unless it exists.
        private: create it private.
        license_id: the licence of the weights, by the hub's identifier such as apache-2.0; None to state none.
        trust: see `load_trained`.
    Raises:
        ConnectionError: if the hub can't be reached.
        FileNotFoundError: if the run lacks a file.
        OSError: if there is no login, or the hub refuses the account.
        ValueError: if the run is no trained bridge that reads images.
    """
    name = check_push(run, repo)  # before models are loaded
    api = HfApi()
    config, backbones, model = load_trained(run, trust=trust)
    for key, value in local_paths(config).items():
        log.warning(
            "%s=%s is a path of this machine, which no other finds. Whoever loads the bridge names their own: %s=PATH beside --bridge, or "
            "load_bridge(..., paths={'%s': PATH}). The model card says so",
            *(key, value, key, key),
        )
    # Not the run's folder, whose name may hold a path.
    bridge = printable(str(read_record(run, NEEDED)["bridge"]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_repository(folder, name, run, config, backbones, model, license_id=license_id)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                commit_message=f"bridgelab push: {bridge}, seed {config.seed}",
            )
        except (HfHubHTTPError, TRANSPORT_ERROR, ConnectionError) as error:
            raise explained(error, name) from error
    return str(commit.commit_url)


def write_repository(
    folder: Path,
    repo: str,
    run: Path,
    config: DictConfig,
    backbones: Backbones,
    model: BridgedModel,
    *,
    license_id: str | None,
) -> None:
    """Write a repository's files: config.json, model.safetensors and the model card.

    Args:
        folder: where they go.
        repo: `ORG/NAME`.
        run: the run's folder, with its record and predictions.
        config, backbones, model: as `load_trained` returns them.
        license_id: the licence of the weights.
    """
    record = read_record(run, NEEDED)
    content = bridge_config(record["bridge"], config, backbones, model)
    (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n")
    write_weights(model.trained_state(), folder / WEIGHTS)
    (folder / CARD).write_text(model_card(repo, run, record, config, content, license_id))


def bridge_config(name: str, config: DictConfig, backbones: Backbones, model: BridgedModel) -> dict[str, Any]:
    """Return what `bridge.hub_config.HubConfig` describes of a trained bridge.

    Args:
        name: of the bridge in `conf/bridge/`.
        config, backbones, model: as `load_trained` returns them.
    """
    _, choices = backbones.bridge_choices()
    return {
        "bridgelab": __version__,
        "bridge": name,
        "target": config.bridge._target_,
        "choices": choices,
        "vision_dim": backbones.vision_dim,
        "text_dim": backbones.text.dim,
        "fingerprints": backbones.fingerprints,
        "insert": model.insert,
        "positions": model.positions is not None,
        "cross_attention": model.cross_attention and OmegaConf.to_container(config.model.cross_attention),
        "precision": config.train.precision,
        "features_dtype": OmegaConf.select(config, "data.dtype"),
        "groups": {group: portable(config[group]) for group in ("vision", "text", "benchmark")},
    }


def model_card(
    repo: str,
    run: Path,
    record: dict[str, Any],
    config: DictConfig,
    content: dict[str, Any],
    license_id: str | None,
) -> str:
    """Return the model card of a run's bridge.

    Args:
        repo: `ORG/NAME`.
        run: the run's folder.
        record: its record.
        config: its config.
        content: the repository's `config.json`.
        license_id: the licence of the weights; None if none is stated.
    """
    summary = _summary(run, record)
    asked = bool(summary.questions[ALL])
    columns, rows = _scores(summary)
    benchmark = str(record["benchmark"])
    data = ModelCardData(
        library_name="bridgelab",
        tags=["bridgelab", "vision-language", "connector", str(record["bridge"])],
        pipeline_tag=TASKS["accuracy" if asked else "cider"],
        license=license_id,
        model_name=repo.rpartition("/")[2],
        eval_results=[
            EvalResult(
                task_type=task, dataset_type=benchmark, dataset_name=benchmark,
                metric_type=metric, metric_value=value, metric_name=f"test/{metric}",
            )
            for metric, task in TASKS.items()
            if (value := record["metrics"].get(f"test/{metric}")) is not None
        ],
    )  # fmt: skip
    text = render_markdown(
        TEMPLATES / "model_card.md.jinja",
        data=data.to_yaml(),
        repo=repo,
        record=record,
        config=config,
        content=content,
        asked=asked,
        columns=columns,
        rows=rows,
        own={slot: str(config[slot]._target_) for slot in BUILT if is_own(config[slot], slot)},
        overrides=shlex.join(_bridge_overrides(str(record["bridge"]), content["choices"])),
        license=license_id,
        code_licence=getattr(target(config.bridge, "bridge"), "code_licence", None),
        local_paths=local_paths(config),
        percent=lambda value: f"{100 * value:.1f}",
    )
    return str(ModelCard(text))


def _bridge_overrides(name: str, choices: dict[str, Any]) -> list[str]:
    """Return the overrides that choose a bridge for a training: its yaml, or its class and the keyword arguments that no yaml has."""
    chosen = row_keys([f"bridge={name}"])
    if chosen == [f"bridge={name}"]:
        return chosen
    # The grid is that of the ViT.
    return chosen + [f"+bridge.{key}={_override(value)}" for key, value in choices.items() if key != "grid"]


def _override(value: Any) -> str:
    """Return a plain value as Hydra reads it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_override, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_override(one)}' for key, one in value.items())}}}"
    return json.dumps(value)


def _summary(run: Path, record: dict[str, Any]) -> Summary:
    """Return one run's numbers, with intervals over images alone."""
    answers = Answers(run)
    one = Run(run, record, scores=answers.scores(run))
    return summarize(Study(run.resolve().parent.name, run.parent, (one,), (), answers.examples))


def _scores(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the card's table: accuracy by kind of question and scores of captions, floors below the bridge."""
    kinds = list(summary.questions) if summary.questions[ALL] else []
    scores = [name for name in CAPTION_SCORES if any(name in row.captions for row in summary.rows)]
    columns = ["all" if name == ALL else name.replace("_", " ") for name in kinds]
    rows = [
        [
            Cell(row.label),
            *(percent_cell(row.accuracy.get(name)) for name in kinds),
            *(CAPTION_SCORES[name][1](row.captions.get(name)) for name in scores),
        ]
        for row in summary.rows
        if row.accuracy or row.captions
    ]
    columns += [CAPTION_SCORES[name][0] for name in scores]
    return columns, [[_text(cell) for cell in row] for row in rows]


def _text(cell: Cell) -> str:
    text = f"{cell.text} ({cell.interval})" if cell.interval else cell.text
    return text.replace("|", "\\|")


def local_paths(config: DictConfig) -> dict[str, str]:
    """Return the keys of the frozen models' weights that name a place on this machine, with their values."""
    named = {key: OmegaConf.select(config, key) for key in WEIGHT_KEYS}
    return {
        key: str(value)
        for key, value in named.items()
        if value and not str(value).startswith(PACKAGED_READERS)
        if str(value).startswith(LOCAL) or Path(str(value)).is_absolute() or Path(str(value)).exists()
    }


def portable(group: DictConfig) -> Any:
    """Return a group of the config as plain values. Of an absolute path only the last part is kept, since the rest is private.

    The path may stand after open_clip's `local-dir:`, which is kept.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        if not isinstance(value, str):
            return value
        scheme = LOCAL if value.startswith(LOCAL) else ""
        path = Path(value.removeprefix(scheme))
        return scheme + path.name if path.is_absolute() else value

    return plain(OmegaConf.to_container(group, resolve=True))
