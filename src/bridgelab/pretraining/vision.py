r"""Train the miniature ViT: open_clip's CoCa on rendered scenes and their captions, no question anywhere.

Loss: captioning, plus `contrastive` times the contrastive loss (Yu et al. 2022, CoCa, arXiv:2205.01917).
A caption names every object, in random order, each by its place and then its attributes:
'c07 r13 small red metal cube'. Place first, so that each attribute is asked of a known patch: the dense
part of the loss then teaches what every patch shows. The text tower is thrown away after training.

Everything random follows from (seed, step), so a stopped run ends with the weights of one that was not.
"""

import csv
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bridgelab.config.root import config_root
from bridgelab.device import local_device
from bridgelab.model import autocast_pays
from bridgelab.optim.muon import Muon
from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.vit.scene_pool import FACTS, Pool, facts_of, open_pool
from bridgelab.text.t5 import ASSETS
from bridgelab.world.render import render
from bridgelab.world.scene import ATTRIBUTES

CONF = config_root() / "conf" / "pretrain"
PAD, START, END = 0, 1, 2
WORDS = ("<pad>", "<s>", "</s>", *(word for words in FACTS for word in words))
_FIRST = np.cumsum(
    [END + 1, *(len(words) for words in FACTS[:-1])]
)  # id of the first word of each kind of fact


def caption_ids(facts: np.ndarray, counts: np.ndarray, order: np.ndarray) -> Tensor:
    """Captions as word ids, int64 [batch, 2 + facts per object * most objects], padded on the right.

    Args:
        facts: int8 [batch, object, fact], as `pool.facts_of` gives it.
        counts: objects of each scene, [batch].
        order: [batch, object], any numbers: objects are named in ascending order of them.
    """
    most, width = int(counts.max()), len(FACTS)
    beyond = np.arange(facts.shape[1])[None, :] >= counts[:, None]
    named = np.argsort(np.where(beyond, np.inf, order), axis=1)[:, :most]
    words = np.take_along_axis(facts, named[:, :, None], axis=1) + _FIRST
    ids = np.full((len(facts), 2 + width * most), PAD, np.int64)
    ids[:, 0] = START
    spoken = np.arange(width * most)[None, :] < width * counts[:, None]
    ids[:, 1:-1] = np.where(spoken, words.reshape(len(facts), -1), PAD)
    ids[np.arange(len(facts)), 1 + width * counts] = END
    return torch.from_numpy(ids)


def word_weights(shares: dict[str, float]) -> Tensor:
    """Weight of each word in the captioning loss, float [word], by the kind of fact that it says.

    Which object comes next is drawn, so most of a place's loss cannot be learned, and drowns what can be.

    Args:
        shares: of 'place' and each of `ATTRIBUTES`; all other words weigh 1.
    """
    kinds = ("place", "place", *ATTRIBUTES)
    weights = torch.ones(len(WORDS))
    for first, words, kind in zip(_FIRST, FACTS, kinds, strict=True):
        weights[first : first + len(words)] = shares[kind]
    return weights


class Nothing(nn.Module):
    """Adds nothing to a residual stream."""

    def forward(self, x: Tensor) -> Tensor:
        """A zero that broadcasts."""
        return x.new_zeros(())


def build(model: dict[str, Any], most: int, decoder_mlp: bool = False) -> nn.Module:
    """An open_clip CoCa for captions of up to `most` objects, on the global random state.

    Two starting points are set by hand. open_clip leaves the decoder's `text_projection` uninitialised. And
    the text's positions start as (place within the object) + (which object), which is how captions are built.

    Without `decoder_mlp` nothing nonlinear stands between the patches that a word attends to and the word: what
    captions say must then be linear in the patches, and it is the ViT that has to make it so.
    """
    from open_clip.coca_model import CoCa

    length = 2 + len(FACTS) * most
    texts = {"context_length": length, "vocab_size": len(WORDS)}
    coca = CoCa(
        embed_dim=model["embed_dim"],
        vision_cfg=dict(model["vision_cfg"]),
        text_cfg={**model["text_cfg"], **texts},
        multimodal_cfg={**model["multimodal_cfg"], **texts},
        pad_id=PAD,
    )
    nn.init.normal_(coca.text_decoder.text_projection, std=0.03)
    if not decoder_mlp:
        for block in coca.text_decoder.cross_attn:
            block.mlp = Nothing()
    positions = coca.text.positional_embedding
    with torch.no_grad():
        slot, thing = (torch.randn(k, positions.shape[1]) * 0.02 for k in (len(FACTS), most))
        positions[1 : length - 1] += (thing[:, None] + slot[None, :]).flatten(0, 1)
    return coca


def batches(counts: np.ndarray, batch: int, seed: int, epoch: int, window: int = 16) -> np.ndarray:
    """Order of one epoch, int [steps, batch]: shuffled, and sorted by length within windows."""
    rng = np.random.default_rng([seed, 0, epoch])
    order = rng.permutation(len(counts))[: len(counts) // batch * batch]
    for start in range(0, len(order), window * batch):
        part = order[start : start + window * batch]
        order[start : start + window * batch] = part[np.argsort(counts[part], kind="stable")]
    return rng.permutation(order.reshape(-1, batch))


def rate(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the peak learning rate at a step: linear up over `warmup` steps, flat, linear down to zero."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1.0, decay * steps))


def pixels(images: np.ndarray, preprocess: dict[str, Any], device: str) -> Tensor:
    """uint8 [batch, height, width, 3] to normalised float [batch, 3, height, width]."""
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(preprocess[k], device=device).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (x - mean) / std


class Training:
    """One run: model, optimizers and step, which with the config are all that a checkpoint must hold."""

    def __init__(self, cfg: dict[str, Any], pool: Pool):
        self.cfg, self.pool = cfg, pool
        self.model: Any  # open_clip's CoCa, whose parts are no typed attributes
        self.device = cfg["device"]
        if self.device == "auto":
            self.device = local_device().type
        kind = torch.device(self.device).type
        self.batch, self.lr = cfg["batch"][kind], cfg["lr"][kind]
        self.steps = max(1, cfg["images"] // self.batch)
        if self.batch > len(pool):
            raise ValueError(f"batch={self.batch} is more than the {len(pool)} scenes. Lower batch.{kind}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg["seed"])
            self.model = build(cfg["model"], int(cfg["objects"][1]), cfg["decoder_mlp"]).to(self.device)
        if cfg["start"] is not None:
            own = self.model.state_dict()
            if cfg["start"].endswith(".safetensors"):  # an exported ViT: the text side begins anew
                held = own | load_file(cfg["start"], device=self.device)
            else:
                held = torch.load(cfg["start"], map_location=self.device, weights_only=True)["model"]
            self.model.load_state_dict({k: v for k, v in held.items() if k in own})
        self.weights = word_weights(cfg["words"]).to(self.device)
        # Muon turns every matrix inside the blocks; embeddings, norms, biases and the ends are AdamW's.
        named = list(self.model.named_parameters())
        inner = [n for n, p in named if p.ndim == 2 and (".resblocks." in n or ".cross_attn." in n)]
        matrices, others = [p for n, p in named if n in inner], [p for n, p in named if n not in inner]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=cfg["muon"] * self.lr),
            torch.optim.AdamW(others, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]
        self.peaks = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.step, self.seconds = 0, 0.0
        self.last: dict[str, float] = {}  # what the last steps averaged, as in the CSV
        self._epoch, self._order = -1, np.empty((0, 0), int)

    def loss(self, images: np.ndarray, ids: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Contrastive and captioning loss of a batch, and the share of each attribute's words said right."""
        from open_clip.loss import ClipLoss

        x, ids = pixels(images, self.cfg["preprocess"], self.device), ids.to(self.device)
        if self.cfg["dtype"] == "auto":
            half = torch.bfloat16 if autocast_pays(x.device) else torch.float32
        else:
            half = getattr(torch, self.cfg["dtype"])
        # On a CPU flash attention's backward is slow at this size: 55 ms a call, plain matrix products 15.
        plain = [SDPBackend.MATH] if x.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        with sdpa_kernel(plain), torch.autocast(x.device.type, half, enabled=half != torch.float32):
            out = self.model(x, ids)
        logits, labels = out["logits"].float(), out["labels"]
        contrastive = ClipLoss()(
            out["image_features"].float(), out["text_features"].float(), out["logit_scale"]
        )
        captioning = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), self.weights, ignore_index=PAD
        )
        right, hits = logits.detach().argmax(-1) == labels, {}
        for name, first, words in zip(ATTRIBUTES, _FIRST[2:], FACTS[2:], strict=True):
            hits[name] = right[(labels >= first) & (labels < first + len(words))].float().mean().item()
        return contrastive, captioning, hits

    def advance(self) -> dict[str, float]:
        """One optimizer step."""
        each = len(self.pool) // self.batch
        epoch, within = divmod(self.step, each)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, batches(self.pool.counts, self.batch, self.cfg["seed"], epoch)
        index = np.sort(self._order[within])
        order = np.random.default_rng([self.cfg["seed"], 1, self.step]).random(
            self.pool.facts[index].shape[:2]
        )
        ids = caption_ids(self.pool.facts[index], self.pool.counts[index], order)
        now = rate(self.step, self.steps, self.cfg["warmup"], self.cfg["decay"])
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * now
        contrastive, captioning, hits = self.loss(self.pool.take(index), ids)
        (captioning + self.cfg["contrastive"] * contrastive).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg["clip"])
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return {
            "contrastive": contrastive.item(),
            "captioning": captioning.item(),
            "gradient": norm.item(),
            **hits,
        }

    def save(self, path: Path) -> None:
        """Write the checkpoint; the old one stays whole until the new one is."""
        state = {
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
            "recipe": recipe(self.cfg),
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        half = path.with_suffix(".tmp")
        torch.save(state, half)
        os.replace(half, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: if it is of another recipe, or `images` was changed when the rate was already falling.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["recipe"] != recipe(self.cfg):
            raise ValueError(
                f"{path} was trained by another recipe than this config's. "
                "Remove it to begin anew, or name another folder by out=…"
            )
        falling = int((1 - self.cfg["decay"]) * min(self.steps, state["steps"]))
        if self.steps != state["steps"] and state["step"] > falling:
            raise ValueError(
                f"{path} stands at step {state['step']} of {state['steps']}, this config has {self.steps}: "
                f"the learning rate would jump, as it falls from step {falling} on. "
                f"Set images={state['steps'] * self.batch}."
            )
        self.model.load_state_dict(state["model"])
        for optimizer, held in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self.step, self.seconds = state["step"], state["seconds"]


def recipe(cfg: dict[str, Any]) -> str:
    """All of the config that changes the weights but how long they are trained, as text."""
    free = (
        "images",
        "out",
        "install",
        "device",
        "threads",
        "workers",
        "log_every",
        "save_every",
        "probe_every",
        "probe",
        "hydra",
    )
    return json.dumps({k: v for k, v in cfg.items() if k not in free}, sort_keys=True)


def export(model: Any, cfg: dict[str, Any], folder: Path) -> Path:
    """Write the ViT alone, bf16, in open_clip's layout: vision.safetensors (keys 'visual.…'), vision.json."""
    weights = {
        f"visual.{k}": v.detach().to("cpu", torch.bfloat16).contiguous()
        for k, v in model.visual.state_dict().items()
    }
    texts = {"context_length": 2 + len(FACTS) * int(cfg["objects"][1]), "vocab_size": len(WORDS)}
    shape = {k: {**v, **texts} if k in ("text_cfg", "multimodal_cfg") else v for k, v in cfg["model"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / "vision.safetensors.tmp"
    save_file(weights, half)
    half.chmod(0o644)  # safetensors writes files for their owner alone
    (folder / "vision.json").write_text(
        json.dumps({"model_cfg": shape, "preprocess_cfg": cfg["preprocess"]}, indent=1) + "\n"
    )
    os.replace(half, folder / "vision.safetensors")
    return folder / "vision.safetensors"


class Log:
    """Losses as a CSV, without the lines that a resumed run is about to write again."""

    FIELDS = ("step", "images", "seconds", "lr", "contrastive", "captioning", "gradient", *ATTRIBUTES)

    def __init__(self, path: Path, step: int):
        self.path, self.lines = path, []
        if path.exists():
            with path.open(newline="") as file:
                self.lines = [{k: float(v) for k, v in line.items()} for line in csv.DictReader(file)]
        self.lines = [line for line in self.lines if line["step"] <= step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.FIELDS)
            writer.writeheader()
            writer.writerows(self.lines)

    def add(self, line: dict[str, float]) -> None:
        """Append a line; it is on disk when this returns."""
        self.lines.append(line)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.FIELDS).writerow(line)

    def draw(self) -> None:
        """Draw the losses over the images seen, as a PNG beside the CSV."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name in ("captioning", "contrastive"):
            axes.plot([x["images"] for x in self.lines], [x[name] for x in self.lines], label=name)
        axes.set(
            xlabel="images seen", ylabel="loss (nats)", yscale="log", title="Miniature ViT: captions alone"
        )
        axes.legend()
        figure.savefig(self.path.with_suffix(".png"), dpi=110)


def train(cfg: dict[str, Any], stop_after: int | None = None) -> Path | None:
    """Train to the end, or for `stop_after` more steps; return the exported weights, None before the end.

    Raises:
        ValueError: if the checkpoint or the pool in `out` is of another config.
    """
    out = Path(cfg["out"])
    torch.set_num_threads(cfg["threads"])
    size, objects = cfg["model"]["vision_cfg"]["image_size"], tuple(cfg["objects"])
    scenes, seed, workers = cfg["scenes"], cfg["seed"], cfg["workers"]
    pool = open_pool(out / "pool", scenes=scenes, seed=seed, size=size, objects=objects, workers=workers)
    run, last = Training(cfg, pool), out / "last.ckpt"
    if last.exists():
        run.load(last)
        print(f"resumed at step {run.step} of {run.steps}", flush=True)
    log = Log(out / "losses.csv", run.step)
    end = run.steps if stop_after is None else min(run.steps, run.step + stop_after)
    since, sums = time.monotonic(), []
    while run.step < end:
        sums.append(run.advance())
        run.seconds, since = run.seconds + time.monotonic() - since, time.monotonic()
        if run.step % cfg["log_every"] == 0 or run.step == end:
            line = {k: float(np.mean([s[k] for s in sums])) for k in sums[0]}
            run.last = {k: round(v, 4) for k, v in line.items()}
            lr, sums = run.optimizers[-1].param_groups[0]["lr"], []
            log.add(
                {
                    "step": run.step,
                    "images": run.step * run.batch,
                    "seconds": round(run.seconds, 1),
                    "lr": lr,
                    **line,
                }
            )
            speed = run.step / run.seconds
            print(
                f"step {run.step}/{run.steps}  captioning {line['captioning']:.4f}"
                f"  contrastive {line['contrastive']:.3f}"
                f"  {speed * run.batch:.0f} images/s  {(run.steps - run.step) / speed / 60:.1f} min left",
                flush=True,
            )
            if not math.isfinite(line["captioning"]):
                raise FloatingPointError(
                    f"the loss is {line['captioning']} at step {run.step}. Lower lr, or set dtype=float32."
                )
        if run.step % cfg["save_every"] == 0 or run.step == end:
            run.save(last)
        if cfg["probe_every"] and run.step % cfg["probe_every"] == 0 and run.step < run.steps:
            measure(run, out)
            log.draw()
            since = time.monotonic()
    log.draw()
    if run.step < run.steps:
        return None
    weights = export(run.model, cfg, out)
    card(run, out)
    return weights


def measure(run: Training, out: Path) -> dict[str, Any]:
    """Export the weights as they are and probe them."""
    from bridgelab.pretraining.vit.probe import probe, summary
    from bridgelab.vision.openclip import OpenClipVision

    vision = OpenClipVision(weights=str(export(run.model, run.cfg, out))).to(run.device)
    wanted = run.cfg["probe"]
    found = probe(
        vision, fit=wanted["fit"], test=wanted["test"], seed=wanted["seed"], objects=tuple(run.cfg["objects"])
    )
    print(f"probe at step {run.step}: {summary(found)}", flush=True)
    return found | {"fingerprint": vision.fingerprint}


@torch.no_grad()
def retrieval(run: Training, scenes: int) -> dict[str, float]:
    """How often an image finds its own caption first among those of all scenes, and a caption its image.

    The scenes are those that the probes are judged on.
    """
    from bridgelab.pretraining.vit.probe import probe_scenes

    wanted, most = run.cfg["probe"], int(run.cfg["objects"][1])
    drawn = probe_scenes(
        wanted["seed"], range(wanted["fit"], wanted["fit"] + scenes), tuple(run.cfg["objects"])
    )
    facts = np.stack([facts_of(scene, most) for scene in drawn])
    order = np.random.default_rng([wanted["seed"], 2]).random(facts.shape[:2])
    ids = caption_ids(facts, (facts[:, :, 0] >= 0).sum(1), order).to(run.device)
    size = run.cfg["model"]["vision_cfg"]["image_size"]
    x = pixels(np.stack([render(scene, size) for scene in drawn]), run.cfg["preprocess"], run.device)
    parts = [run.model(x[k : k + run.batch], ids[k : k + run.batch]) for k in range(0, scenes, run.batch)]
    image, text = (torch.cat([part[f"{side}_features"] for part in parts]) for side in ("image", "text"))
    alike, own = image @ text.T, torch.arange(scenes, device=image.device)
    return {
        "scenes": scenes,
        "image_to_caption": round((alike.argmax(1) == own).float().mean().item(), 4),
        "caption_to_image": round((alike.argmax(0) == own).float().mean().item(), 4),
    }


def card(run: Training, out: Path) -> None:
    """Write `vision_card.json`: what was trained on what for how long, and what the probes found."""
    found = measure(run, out)
    note: dict[str, Any] = {
        "fingerprint": found.pop("fingerprint"),
        "images_seen": run.step * run.batch,
        "steps": run.step,
        "batch": run.batch,
        "scenes": len(run.pool),
        "objects": list(run.cfg["objects"]),
        "seed": run.cfg["seed"],
        "device": run.device,
        "threads": torch.get_num_threads() if run.device == "cpu" else None,
        "training_minutes": round(run.seconds / 60, 1),
        "parameters": sum(p.numel() for p in run.model.visual.parameters()),
        "last_losses": run.last,
        "recipe": {key: value for key, value in json.loads(recipe(run.cfg)).items() if key != "start"},
        "probe": found,
        "retrieval": retrieval(run, run.cfg["probe"]["test"]),
    }
    before = Path(run.cfg["start"]).with_name("vision_card.json") if run.cfg["start"] else None
    if before and before.exists():
        note["went_on_from"] = {k: v for k, v in json.loads(before.read_text()).items() if k != "probe"}
    half = out / "vision_card.tmp"
    half.write_text(json.dumps(note, indent=1) + "\n")
    os.replace(half, out / "vision_card.json")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="vision")
def main(cfg: DictConfig) -> None:
    """Hydra app: `python -m bridgelab.pretraining.vision images=800000 out=runs/pretrain/longer`."""
    OmegaConf.resolve(cfg)
    weights = train(OmegaConf.to_container(cfg))  # type: ignore[arg-type]
    if weights and cfg.install:
        for name in ("vision.safetensors", "vision.json", "vision_card.json"):
            shutil.copy(weights.parent / name, ASSETS / name)
        write_page(ASSETS)
        weights = ASSETS / weights.name
    print(f"weights: {weights}")


if __name__ == "__main__":
    sys.exit(main())
