"""Make a T5 of the miniature from scratch: transformers' own class, trained on the world's text alone.

Beside the answer, linear heads on the encoder's later blocks learn the objects that the question's program selects on the
way (`traces.py`). The heads are discarded after training: what ships is a plain T5.
"""

import json
import os
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import T5ForConditionalGeneration

from bridgelab.config.root import config_root
from bridgelab.device import local_device
from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.t5.evaluate import (
    FORMS,
    GRID_FORMS,
    MOST_OBJECTS,
    Counts,
    card_figures,
    evaluate,
    mean_over_families,
)
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.pretraining.t5.training import ReaderTraining, read_curve
from bridgelab.text.t5 import ASSETS, SHIPPED, T5, load_weights
from bridgelab.world.write import GENERATOR

CONF = str(config_root() / "conf" / "pretrain")


@hydra.main(version_base="1.3", config_path=CONF, config_name="text")
def main(cfg: DictConfig) -> None:
    """Run the Hydra app: `python -m bridgelab.pretraining.t5.main reader=prose out=runs/pretrain/longer`."""
    OmegaConf.resolve(cfg)
    results = train(cfg)
    print(json.dumps({form: mean_over_families(counts) for form, counts in results.items()}))


def train(cfg: DictConfig) -> dict[str, Counts]:
    """Train, checkpoint, evaluate; write weights, card and page to `out`; with `install` to the package's assets.

    A run that was stopped resumes from its last checkpoint.

    Args:
        cfg: as `conf/pretrain/text.yaml`.
    Returns:
        By form of the prefix and by family: [right, all], on scenes of the test split.
    Raises:
        ValueError: if the checkpoint in `out` is of another recipe.
    """
    torch.set_num_threads(cfg.threads)
    out = Path(cfg.out)
    out.mkdir(parents=True, exist_ok=True)
    device = local_device()
    tokenizer = make_tokenizer()
    run = ReaderTraining(cfg, tokenizer.get_vocab(), device)
    checkpoint = out / "last.ckpt"
    if checkpoint.exists():
        run.load(checkpoint)
    elif cfg.start:
        run.model.load_state_dict(load_weights(cfg.start, str(start_folder(cfg.start))).state_dict())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=0.2) as progress:
        bar = progress.add_task("T5 from text", total=cfg.lessons, completed=run.counters.lessons)
        while not run.done:
            run.run_phase(out, progress, bar)
            run.save(checkpoint)
    crowded = (MOST_OBJECTS, MOST_OBJECTS)
    taught = {form for phase in cfg.phases for form in phase.forms}
    forms = FORMS | {name: form for name, form in GRID_FORMS.items() if name in taught}
    results, crowded_results = (
        evaluate(
            run.model, run.vocabulary, scenes=cfg.test_scenes, split="test", objects=objects, forms=forms
        )
        for objects in ((3, MOST_OBJECTS), crowded)
    )
    assets = ASSETS if cfg.install else out
    folder = assets / cfg.shipped_as
    export(run.model.cpu(), tokenizer, folder)
    figures = {
        "words": card_figures(results),
        "words_with_most_objects": {"objects": MOST_OBJECTS, **card_figures(crowded_results)},
    }
    card = _card(run, T5(str(folder)).fingerprint, out) | figures
    card_path(folder).write_text(json.dumps(card, indent=1) + "\n")
    write_page(assets)
    return results


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights (bfloat16 safetensors), configuration and tokenizer as transformers' own loaders read them."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = T5ForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def start_folder(start: str) -> Path:
    """Return the folder of weights to start from: of the package if `start` is a key of `SHIPPED`, else `start` itself."""
    return ASSETS / SHIPPED[start] if start in SHIPPED else Path(start)


def card_path(folder: Path) -> Path:
    """Return the path of the card of the weights in a folder; it lies beside the folder."""
    return folder.with_name(f"{folder.name}_card.json")


def _card(run: ReaderTraining, fingerprint: str, out: Path) -> dict[str, Any]:
    """Return what was trained, on what, for how long."""
    cfg, counters = run.cfg, run.counters
    recipe: Any = OmegaConf.to_container(cfg)
    return {
        "fingerprint": fingerprint,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "seed": cfg.seed,
        "minutes": round(counters.seconds / 60, 1),
        "threads": cfg.threads if run.device.type == "cpu" else None,
        "steps": counters.step,
        "lessons": counters.lessons,
        "went_on_from": _start_card(cfg.start),
        # Less what belongs to this machine.
        "recipe": {
            str(key): value for key, value in recipe.items() if key not in ("out", "start", "install")
        },
        "curve": read_curve(out / "curve.csv"),
        "measured_on_generator": GENERATOR,
    }


def _start_card(start: str | None) -> dict[str, Any] | None:
    """Return what had been spent on the weights that a run starts from; None without a card beside them."""
    path = card_path(start_folder(start)) if start else None
    if path is None or not path.exists():
        return None
    card = json.loads(path.read_text())
    return {name: card.get(name) for name in ("seed", "minutes", "steps", "lessons", "went_on_from")}


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
