"""What Weights & Biases is told of a run: its config, its curve, and in the end its record, some predictions and, where asked,
its bridge. A run's files hold all of it too, so that nothing is lost with W&B."""

import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.images import read_image
from bridgelab.data.sampler import spread
from bridgelab.evaluation.predict import on_device, with_target
from bridgelab.explain.attention import patch_attention
from bridgelab.explain.occlusion import occlusion_maps
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.overlay import overlaid
from bridgelab.runs.atomic import atomic_path

ID = "wandb_id"  # the file that keeps a run's
SHOWN = 32  # predictions in the table, spread over all
LOOKED_INTO = 8  # of their questions; a map costs as many predictions as there are patches
LEAST = 0.01  # nats; where no patch matters more than that, rounding is not to be seen as a map
LEVELS = re.compile(r"test/accuracy/(\w+)=(\d+)")  # accuracy at a tag's number, such as hops=3
log = logging.getLogger(__name__)


@contextmanager
def wandb_run(config: DictConfig, directory: Path, bridge: str) -> Iterator[WandbLogger | None]:
    """The run's logger while it lasts; None where W&B was not chosen, or can't be begun: that is said, and the run goes on.

    Args:
        config: of the run.
        directory: the run's own.
        bridge: its name, by which charts group.
    """
    if "wandb" not in config.logger:
        yield None
        return
    import wandb

    logger = build(config.logger.wandb, "logger", **wandb_identity(directory))
    try:
        run = logger.experiment  # where W&B is begun
        if getattr(rank_zero_only, "rank", 0) == 0:  # Lightning keeps it there
            chosen: Any = OmegaConf.to_container(config, resolve=True)
            kept = {key: value for key, value in chosen.items() if key != "hydra"}
            run.config.update(kept | {"bridge_name": bridge}, allow_val_change=True)
    except (wandb.Error, OSError, TimeoutError) as error:
        log.warning("W&B can't be begun, and this run goes on without it: %s", error)
        yield None
        return
    failed = 1
    try:
        yield logger
        failed = 0
    finally:
        wandb.finish(exit_code=failed)  # else the next run in this process would be taken for this one


def wandb_identity(directory: Path) -> dict[str, Any]:
    """A W&B run's name, group and id, the same whenever the run is resumed.

    The id is drawn when the run is first told and kept in its folder: runs of equal names, of other people or made anew, are others.
    """
    kept = directory / ID
    if not kept.exists() and getattr(rank_zero_only, "rank", 0) == 0:  # the other processes tell nothing
        with atomic_path(kept) as aside:
            aside.write_text(secrets.token_hex(8) + "\n")
    return {
        "name": directory.name,
        "group": directory.parent.name,
        "id": kept.read_text().strip() if kept.exists() else None,
        "resume": "allow",
        "save_dir": str(directory),
    }


def tell_record(
    logger: WandbLogger,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    tests: Mapping[str, TokenizedExamples],
    model: BridgedModel,
    vision: Any,
    artifact: Path | None,
) -> None:
    """Tell W&B what stands in the record, and over some images what the answers rest on.

    Args:
        record: as in `metrics.json`.
        rows: as in `predictions.parquet`.
        tests: by kind, the examples that were predicted.
        model: the trained one.
        vision: its frozen encoder, for the grid of its patches.
        artifact: a file of the bridge's weights to be kept there; None for none.
    """
    import wandb

    run = logger.experiment
    metrics = {name.replace("=", "/"): value for name, value in record["metrics"].items()}
    costs = {f"costs/{name}": value for name, value in record["costs"].items() if value is not None}
    run.summary.update(metrics | costs)
    for tag, levels in difficulty(record["metrics"]).items():
        run.define_metric(f"difficulty/{tag}", hidden=True)
        run.define_metric(f"accuracy by {tag}", step_metric=f"difficulty/{tag}")
        for level, accuracy in levels:
            run.log({f"difficulty/{tag}": level, f"accuracy by {tag}": accuracy})
    seen = [row for row in rows if row["view"] == "image"]
    shown = [seen[k] for k in spread(len(seen), SHOWN)]
    questions = [k for k, row in enumerate(shown) if row["kind"] != "caption"]
    into = {questions[k] for k in spread(len(questions), LOOKED_INTO)} if model.sees == "image" else set()
    places = {
        (kind, example.id): (prepared, k)
        for kind, prepared in tests.items()
        for k, example in enumerate(prepared.examples)
    }
    columns = ["id", "image", "kind", "prompt", "target", "prediction", "score", "likelihood"]
    table = wandb.Table(columns=[*columns, "rests on", "attention (a description)"])
    for number, row in enumerate(shown):
        prepared, place = places[row["kind"], row["id"]]
        pictures = [read_image(path) for path in prepared.examples[place].images]
        drawn: list[list[np.ndarray] | None] = [pictures, None, None]
        if number in into:
            drawn[1:] = look_into(
                model, prepared, place, row["prediction"], pictures, vision.grid, vision.cls
            )
        image, rests, attention = (one and [wandb.Image(picture) for picture in one] for one in drawn)
        cells = [one[0] if one and len(one) == 1 else one for one in (image, rests, attention)]
        table.add_data(row["id"], cells[0], *(row[name] for name in columns[2:]), *cells[1:])
    run.log({"predictions": table})
    if artifact is not None:
        kept = wandb.Artifact(
            re.sub(r"[^\w.-]", "_", f"{record['study']}-{record['overrides']}")[:128], "bridge"
        )
        kept.add_file(str(artifact))
        run.log_artifact(kept)


def look_into(
    model: BridgedModel,
    prepared: TokenizedExamples,
    place: int,
    said: str,
    pictures: Sequence[np.ndarray],
    grid: tuple[int, int],
    cls: bool,
) -> list[list[np.ndarray] | None]:
    """An example's images with what the answer that was given rests on laid over them, and with the bridge's attention.

    Args:
        place: of the example in `prepared`.
        said: the model's answer.
        pictures: the example's images, RGB.
        grid: rows and columns of an image's patches.
        cls: whether a class token stands before them.
    Returns:
        Red where the answer gets less likely without the patches, blue where it gets likelier; then the attention, None where
        the bridge has none.
    """
    batch = with_target(model, on_device(prepared.batch([place]), model), said)
    falls = occlusion_maps(model, batch, grid, cls)
    most = max(float(np.abs(falls).max()), LEAST)
    found: list[list[np.ndarray] | None] = [
        [overlaid(*pair, signed=True, most=most) for pair in zip(pictures, falls, strict=True)], None
    ]  # fmt: skip
    if (seen := patch_attention(model, batch)) is not None:
        maps = seen[0].reshape(len(pictures), -1)[:, int(cls) :].reshape(-1, *grid)
        found[1] = [
            overlaid(*pair, signed=False, most=float(maps.max())) for pair in zip(pictures, maps, strict=True)
        ]
    return found


def difficulty(metrics: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    """Accuracy by each tag that counts something, in order: {tag: [(number, accuracy), ...]}."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name, value in metrics.items():
        if match := LEVELS.fullmatch(name):
            found.setdefault(match[1], []).append((int(match[2]), value))
    return {tag: sorted(levels) for tag, levels in found.items() if len(levels) > 1}
