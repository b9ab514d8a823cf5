"""Training of a reader: phases, learning rate, checkpoints, and validations on the way."""

import csv
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress, TaskID
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bridgelab.model import bf16_is_fast
from bridgelab.optim.muon import Muon
from bridgelab.pretraining.recipe import recipe_text, refuse_another_recipe
from bridgelab.pretraining.t5.batches import NONE, Lessons
from bridgelab.pretraining.t5.evaluate import FORMS, evaluate, mean_over_families
from bridgelab.pretraining.t5.loss import blur_scenes, loss_and_hits
from bridgelab.pretraining.t5.model import make_model
from bridgelab.pretraining.t5.trace_heads import TARGETS, TraceHeads
from bridgelab.world.questions.families import FAMILIES

VALIDATION_SCENES = 30
# Keys of the config that do not change the weights, or only how long and at what rate they are trained.
NOT_RECIPE = {
    "lessons",
    "muon_lr",
    "adamw_lr",
    "out",
    "shipped_as",
    "install",
    "threads",
    "test_scenes",
    "evaluate_every",
    "checkpoint_every",
}


def recipe(cfg: DictConfig) -> str:
    """Return as text all of the config that changes the weights, except for length and peak rates of training."""
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    return recipe_text(content, NOT_RECIPE)


def make_optimizers(
    model: Any, heads: nn.Module, muon_lr: float, adamw_lr: float
) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers and AdamW for the rest (Jordan et al. 2024).

    Muon is what made the model learn to bind words to objects.
    """
    matrices, bias, rest = [], [], list(heads.parameters())
    for name, p in model.named_parameters():
        if "relative_attention_bias" in name:
            bias.append(p)
        elif p.ndim == 2 and name.startswith(("encoder.block", "decoder.block")):
            matrices.append(p)
        else:
            rest.append(p)
    groups = [{"params": rest, "lr": adamw_lr}, {"params": bias, "lr": 5 * adamw_lr}]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=muon_lr),
        torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


@dataclass
class Counters:
    """How far training is; `chunk` is the next to draw."""

    step: int = 0
    chunk: int = 0
    seconds: float = 0.0
    lessons: int = 0


@dataclass
class Window:
    """Losses, and the heads' correct predictions and targets, since the last validation."""

    losses: list[float] = field(default_factory=list)
    counts: Tensor = field(default_factory=lambda: torch.zeros(2, len(TARGETS)))


class ReaderTraining:
    """One run: model, heads, optimizers and counters, which with the config are all that a checkpoint holds.

    Args:
        cfg: as `conf/pretrain/text.yaml`.
        vocabulary: id of each word.
        device: of model and heads.
    Raises:
        ValueError: if a batch is larger than a chunk.
    """

    def __init__(self, cfg: DictConfig, vocabulary: dict[str, int], device: torch.device):
        lessons = sum(cfg.shares.values())  # of a scene, at most
        if (most := cfg.scenes_per_chunk * lessons) < cfg.batch:
            raise ValueError(
                f"batch={cfg.batch} is more than the {most} lessons of a chunk of {cfg.scenes_per_chunk} scenes. Lower batch, or set "
                f"scenes_per_chunk={-(-10 * cfg.batch // max(1, lessons))}."
            )
        self.cfg, self.vocabulary, self.device = cfg, vocabulary, device
        self.model: Any = make_model(dict(cfg.model), vocabulary, cfg.seed, cfg.local_heads).to(device)
        self.heads = TraceHeads(
            self.model.config.d_model, cfg.tagged_block, cfg.bound_block, cfg.traced_blocks
        ).to(device)
        self.optimizers = make_optimizers(self.model, self.heads, cfg.muon_lr, cfg.adamw_lr)
        self.counters = Counters()

    @property
    def done(self) -> bool:
        """Whether all lessons have been read."""
        return self.counters.lessons >= self.cfg.lessons

    @property
    def phase(self) -> int:
        """Index in `cfg.phases` of the phase that training is in."""
        starts = [round(phase["from"] * self.cfg.lessons) for phase in self.cfg.phases]
        return max(k for k, start in enumerate(starts) if self.counters.lessons >= start)

    @property
    def lr_share(self) -> float:
        """The learning rate as a share of its peak: linear warm-up, then constant, then linear to zero."""
        left = (1 - self.counters.lessons / self.cfg.lessons) / self.cfg.decay_share
        return min(1.0, (self.counters.step + 1) / self.cfg.warmup_steps) * min(1.0, max(0.0, left))

    def save(self, path: Path) -> None:
        """Write the checkpoint; the old one stays until the new one is complete."""
        partial_path = path.with_suffix(".partial")
        torch.save(
            {
                "model": self.model.state_dict(),
                "heads": self.heads.state_dict(),
                "optimizers": [o.state_dict() for o in self.optimizers],
                "state": vars(self.counters),
                "recipe": recipe(self.cfg),
            },
            partial_path,
        )
        partial_path.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, with the learning rates of this config.

        Raises:
            ValueError: if it is of another recipe. Older checkpoints do not name theirs, and are taken.
        """
        saved = torch.load(path, map_location=self.device, weights_only=True)
        if "recipe" in saved:
            refuse_another_recipe(path, saved["recipe"], recipe(self.cfg))
        self.model.load_state_dict(saved["model"])
        self.heads.load_state_dict(saved["heads"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.counters = Counters(**saved["state"])

    def run_phase(self, out: Path, progress: Progress, bar: TaskID) -> None:
        """Train until the phase ends, with validations in `out/curve.csv` and checkpoints in `out/last.ckpt`.

        One worker process draws the chunks, in the order of their numbers.
        """
        phase, window = self.phase, Window()
        begun, seconds_before = time.monotonic(), self.counters.seconds
        validated = saved = begun
        for batch in DataLoader(self._stream(), batch_size=None, num_workers=1, prefetch_factor=16):
            chunk = int(batch.pop("chunk"))
            self.advance(batch, self.cfg.phases[phase].blur, window)
            self.counters.seconds = seconds_before + time.monotonic() - begun
            if chunk == NONE:
                continue
            self.counters.chunk = chunk + 1
            progress.update(bar, completed=self.counters.lessons)
            over = self.done or self.phase != phase
            if over or time.monotonic() - validated > 60 * self.cfg.evaluate_every:
                row = self._validate(window)
                append_row(out / "curve.csv", row)
                shown = ("lessons", "loss", *FORMS, "trace/tags", "trace/bound", "trace/asked")
                progress.console.print(*(f"{name} {row[name]}" for name in shown), soft_wrap=True)
                window, validated = Window(), time.monotonic()
            if time.monotonic() - saved > 60 * self.cfg.checkpoint_every:
                self.save(out / "last.ckpt")
                saved = time.monotonic()
            if over:
                return

    def _stream(self) -> Lessons:
        """Return the batches of the current phase, from the next chunk on."""
        cfg, phase = self.cfg, self.cfg.phases[self.phase]
        return Lessons(
            self.vocabulary,
            seed=cfg.seed,
            start=self.counters.chunk,
            batch=cfg.batch,
            scenes=cfg.scenes_per_chunk,
            shares=dict(cfg.shares),
            forms=dict(phase.forms),
            cut=tuple(phase.cut),
            objects=tuple(phase.objects),
            families=[f for f in FAMILIES if not phase.families or f.startswith(tuple(phase.families))],
        )

    def advance(self, batch: dict[str, Tensor], blur: float, window: Window) -> None:
        """Take one optimizer step, and add its loss and counts to the window.

        Args:
            batch: as `batches.collate` returns it.
            blur: share of the scenes that are blurred.
            window: changed in place.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * self.lr_share
        # Seeded by the step, so that a stopped run goes on with the noise of one that was not stopped.
        noise = torch.Generator().manual_seed(self.cfg.seed * 10**8 + self.counters.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16_is_fast(self.device)):
            loss, _, traced = loss_and_hits(
                self.model,
                {name: array.to(self.device) for name, array in batch.items()},
                self.heads,
                partial(blur_scenes, share=blur, generator=noise),
            )
        assert traced is not None
        trace_loss, counts = traced
        (loss + self.cfg.trace_weight * trace_loss).backward()
        torch.nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        window.losses.append(loss.item())
        window.counts += counts.cpu()
        self.counters.step += 1
        self.counters.lessons += len(batch["prompt"])

    def _validate(self, window: Window) -> dict[str, float]:
        """Return a row of the learning curve: counters, loss, accuracy by form and family, accuracy of the heads."""
        results = evaluate(self.model, self.vocabulary, scenes=VALIDATION_SCENES)
        row: dict[str, float] = {name: round(value, 1) for name, value in vars(self.counters).items()}
        row["loss"] = round(float(np.mean(window.losses)), 4)
        row |= {form: round(mean_over_families(counts), 4) for form, counts in results.items()}
        row |= {
            f"trace/{target}": round(float(right / n), 3)
            for target, right, n in zip(TARGETS, *window.counts, strict=True)
        }
        row |= {f"compact/{family}": round(right / n, 3) for family, (right, n) in results["compact"].items()}
        return row


def append_row(path: Path, row: dict[str, float]) -> None:
    """Append a row to a CSV, with a header if the file is new."""
    new = not path.exists()
    with path.open("a") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_curve(path: Path) -> list[dict[str, float]]:
    """Return the validations of a run, less the rows that a resumed run wrote twice."""
    with path.open(newline="") as file:
        rows = {int(row["lessons"]): row for row in csv.DictReader(file)}
    names = ("loss", *FORMS, "trace/asked")
    return [{"lessons": k} | {name: float(rows[k][name]) for name in names} for k in sorted(rows)]
