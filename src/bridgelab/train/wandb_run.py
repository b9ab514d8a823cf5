"""What Weights & Biases is told of a run: its config, its curve, and in the end its record, some predictions and, where asked,
its bridge. A run's files hold all of it too, so that nothing is lost with W&B."""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.benchmark.example import Example
from bridgelab.data.images import read_image
from bridgelab.data.sampler import spread
from bridgelab.train.build import build

SHOWN = 32  # predictions in the table, spread over all
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

    logger = build(config.logger.wandb, **wandb_identity(directory))
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
    """A W&B run's name, group and id, the same whenever the run is resumed."""
    name = f"{directory.parent.name}/{directory.name}"
    return {
        "name": directory.name,
        "group": directory.parent.name,
        "id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "resume": "allow",
        "save_dir": str(directory),
    }


def tell_record(
    logger: WandbLogger,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    examples: Mapping[str, Example],
    artifact: Path | None,
) -> None:
    """Tell W&B what stands in the record.

    Args:
        record: as in `metrics.json`.
        rows: as in `predictions.parquet`.
        examples: by id, for their images.
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
    columns = ["id", "image", "kind", "prompt", "target", "prediction", "score", "likelihood"]
    table = wandb.Table(columns=columns)
    for row in (seen[k] for k in spread(len(seen), SHOWN)):
        images = [wandb.Image(read_image(path)) for path in examples[row["id"]].images]
        table.add_data(
            row["id"], images[0] if len(images) == 1 else images, *(row[name] for name in columns[2:])
        )
    run.log({"predictions": table})
    if artifact is not None:
        kept = wandb.Artifact(
            re.sub(r"[^\w.-]", "_", f"{record['study']}-{record['overrides']}")[:128], "bridge"
        )
        kept.add_file(str(artifact))
        run.log_artifact(kept)


def difficulty(metrics: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    """Accuracy by each tag that counts something, in order: {tag: [(number, accuracy), ...]}."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name, value in metrics.items():
        if match := LEVELS.fullmatch(name):
            found.setdefault(match[1], []).append((int(match[2]), value))
    return {tag: sorted(levels) for tag, levels in found.items() if len(levels) > 1}
