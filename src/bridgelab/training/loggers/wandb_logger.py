"""Weights & Biases: log a run's config, its curve and, in the end, its record, some predictions and, if requested, its bridge.

A run's files hold all of it too, so that nothing is lost without W&B.
"""

import logging
import re
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.atomic import write_text
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.image_files import read_image
from bridgelab.data.sampler import stratified_indices
from bridgelab.evaluation.predict import on_device, with_targets
from bridgelab.explain.attention import patch_attention
from bridgelab.explain.occlusion import occlusion_maps
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.overlay import overlay
from bridgelab.runs.identity import WANDB_ID
from bridgelab.runs.run_name import row_of

TABLE_ROWS = 32  # predictions in the table, spread over all
MAPPED_ROWS = 8  # of them with maps; a map costs as many predictions as there are patches
MIN_RANGE = 0.01  # nats; below this the colours of a map would show rounding
MAX_ARTIFACT_NAME = 128  # characters, which W&B allows
LEVELS = re.compile(r"test/accuracy/([^=]+)=(\d+)")  # accuracy at a numeric tag, such as hops=3
log = logging.getLogger(__name__)


@contextmanager
def wandb_run(config: DictConfig, directory: Path, bridge: str) -> Iterator[WandbLogger | None]:
    """Yield the run's W&B logger; None if W&B is not chosen, or can't be started even offline, which is logged.

    Args:
        config: the run's config.
        directory: the run's folder.
        bridge: its name. Charts group by the run's row, which begins with it.
    """
    if "wandb" not in config.logger:
        yield None
        return
    import wandb

    logger = _begun(config, directory, bridge)
    if logger is None:
        yield None
        return
    failed = 1
    try:
        yield logger
        failed = 0
    finally:
        try:
            wandb.finish(exit_code=failed)  # else the next run in this process would continue this one
        except (wandb.Error, OSError, TimeoutError) as error:
            log.warning("W&B did not end this run in order: %s", error)


def _begun(config: DictConfig, directory: Path, bridge: str) -> WandbLogger | None:
    """Return the logger of a run that W&B has started: offline if it can't be started as configured; None if not even so.

    Arguments are those of `wandb_run`.
    """
    import wandb

    lost = (wandb.Error, OSError, TimeoutError)
    chosen: Any = OmegaConf.to_container(config, resolve=True)
    own = {key: value for key, value in chosen.items() if key != "hydra"}
    told = own | {"bridge_name": bridge, "row": row_of(directory.name, bridge)}

    def begin(**choices: Any) -> WandbLogger:
        logger: WandbLogger = build(config.logger.wandb, "logger", **wandb_identity(directory) | choices)
        run = logger.experiment  # starts W&B
        if getattr(rank_zero_only, "rank", 0) == 0:  # Lightning keeps it there
            run.config.update(told, allow_val_change=True)
        return logger

    try:
        return begin()
    except lost as error:
        reason = error
    try:
        wandb.teardown()  # else the run's id is still in use
        logger = begin(mode="offline")  # `offline=True` is read once a process
    except lost as error:
        log.warning("W&B can't be started, and this run continues without it: %s", error)
        return None
    log.warning(
        "W&B can't be started as configured, and this run is logged offline: %s. To upload it later: wandb sync %s/wandb/offline-run-*",
        reason,
        shlex.quote(str(directory)),
    )
    return logger


def wandb_identity(directory: Path) -> dict[str, Any]:
    """Return a W&B run's name, group and id, the same whenever the run is resumed.

    The id is drawn once and stored in the run's folder, so that runs of equal names are different runs in W&B.
    """
    stored = directory / WANDB_ID
    if not stored.exists() and getattr(rank_zero_only, "rank", 0) == 0:  # the other processes log nothing
        write_text(stored, secrets.token_hex(8) + "\n")
    return {
        "name": directory.name,
        "group": directory.parent.name,
        "id": stored.read_text().strip() if stored.exists() else None,
        "resume": "allow",
        "save_dir": str(directory),
    }


def log_record(
    logger: WandbLogger,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    tests: Mapping[str, TokenizedExamples],
    model: BridgedModel,
    vision: Any,
    artifact: Path | None,
) -> None:
    """Log a run's record to W&B, and a table of predictions with maps of the patches that answers rest on.

    Args:
        logger: of the run.
        record: as in `metrics.json`.
        rows: as in `predictions.parquet`.
        tests: the predicted examples, by kind.
        model: the trained bridge between its backbones.
        vision: the frozen vision encoder, for the grid of its patches.
        artifact: the file of the bridge's weights to upload; None for none.
    """
    import wandb

    run = logger.experiment
    metrics = {name.replace("=", "/"): value for name, value in record["metrics"].items()}
    costs = {f"costs/{name}": value for name, value in record["costs"].items() if value is not None}
    chosen = {f"chosen/{name}": record[name] for name in ("lr", "warmup") if record[name] is not None}
    budgets = {f"budget/{budget['steps']}": budget["value"] for budget in record["budgets"]}
    run.summary.update(metrics | costs | chosen | budgets)
    for tag, levels in difficulty(record["metrics"]).items():
        run.define_metric(f"difficulty/{tag}", hidden=True)
        run.define_metric(f"accuracy by {tag}", step_metric=f"difficulty/{tag}")
        for level, accuracy in levels:
            run.log({f"difficulty/{tag}": level, f"accuracy by {tag}": accuracy})
    table = _prediction_table(rows, tests, model, vision)
    run.log({"predictions": table})
    if artifact is not None:
        uploaded = wandb.Artifact(artifact_name(record), "bridge")
        uploaded.add_file(str(artifact))
        run.log_artifact(uploaded)


def artifact_name(record: Mapping[str, Any]) -> str:
    """Return a name for a run's weights that W&B takes: ASCII and not too long. A name that is cut ends with the hash of the config."""
    name = re.sub(r"[^\w.-]", "_", f"{record['study']}-{record['overrides']}", flags=re.ASCII)
    if len(name) <= MAX_ARTIFACT_NAME:
        return name
    ending = f"-{record['config_hash'][:16]}"
    return name[: MAX_ARTIFACT_NAME - len(ending)] + ending


def _prediction_table(
    rows: Sequence[Mapping[str, Any]],
    tests: Mapping[str, TokenizedExamples],
    model: BridgedModel,
    vision: Any,
) -> Any:
    """Return a W&B table of predictions, spread over all, some of them with maps."""
    import wandb

    of_image = [row for row in rows if row["view"] == "image"]
    table_rows = [of_image[k] for k in stratified_indices(len(of_image), TABLE_ROWS)]
    questions = [k for k, row in enumerate(table_rows) if row["kind"] != "caption"]
    mapped = (
        {questions[k] for k in stratified_indices(len(questions), MAPPED_ROWS)}
        if model.sees == "image"
        else set()
    )
    places = {
        (kind, example.id): (tokenized, k)
        for kind, tokenized in tests.items()
        for k, example in enumerate(tokenized.examples)
    }
    columns = ["id", "image", "kind", "prompt", "target", "prediction", "score", "likelihood"]
    table = wandb.Table(columns=[*columns, "rests on", "attention (a description)"])
    for number, row in enumerate(table_rows):
        tokenized, place = places[row["kind"], row["id"]]
        pictures = [read_image(path) for path in tokenized.examples[place].images]
        drawn: list[list[np.ndarray] | None] = [pictures, None, None]
        if number in mapped:
            drawn[1:] = evidence_maps(
                model, tokenized, place, row["prediction"], pictures, vision.grid, vision.cls
            )
        image, rests, attention = (one and [wandb.Image(picture) for picture in one] for one in drawn)
        cells = [one[0] if one and len(one) == 1 else one for one in (image, rests, attention)]
        table.add_data(row["id"], cells[0], *(row[name] for name in columns[2:]), *cells[1:])
    return table


def evidence_maps(
    model: BridgedModel,
    tokenized: TokenizedExamples,
    place: int,
    answer: str,
    pictures: Sequence[np.ndarray],
    grid: tuple[int, int],
    cls: bool,
) -> list[list[np.ndarray] | None]:
    """Overlay an example's images with occlusion maps of the answer, and with the bridge's attention.

    Args:
        model: the trained bridge between its backbones.
        tokenized: examples.
        place: of the example among them.
        answer: of the model.
        pictures: the example's images, RGB.
        grid: rows and columns of an image's patches.
        cls: whether a class token precedes them.
    Returns:
        The occlusion maps, red where the answer is less likely without the patches and blue where it is likelier; then the
        attention, None if the bridge has none.
    """
    batch = with_targets(model, on_device(tokenized.batch([place]), model), [answer])
    falls = occlusion_maps(model, batch, grid, cls)
    most = max(float(np.abs(falls).max()), MIN_RANGE)
    overlays: list[list[np.ndarray] | None] = [
        [overlay(*pair, signed=True, most=most) for pair in zip(pictures, falls, strict=True)], None
    ]  # fmt: skip
    if (attention := patch_attention(model, batch)) is not None:
        maps = attention[0].reshape(len(pictures), -1)[:, int(cls) :].reshape(-1, *grid)
        overlays[1] = [
            overlay(*pair, signed=False, most=float(maps.max())) for pair in zip(pictures, maps, strict=True)
        ]
    return overlays


def difficulty(metrics: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    """Return accuracy by each numeric tag, in order: {tag: [(number, accuracy), ...]}."""
    by_tag: dict[str, list[tuple[int, float]]] = {}
    for name, value in metrics.items():
        if match := LEVELS.fullmatch(name):
            by_tag.setdefault(match[1], []).append((int(match[2]), value))
    return {tag: sorted(levels) for tag, levels in by_tag.items() if len(levels) > 1}
