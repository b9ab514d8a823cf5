"""Training of the miniature ViT: order of the scenes, learning rate, loss, optimizer step and checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bridgelab.atomic import atomic_path
from bridgelab.device import local_device
from bridgelab.model import bf16_is_fast
from bridgelab.optim.muon import Muon
from bridgelab.pretraining.recipe import recipe_text, refuse_another_recipe
from bridgelab.pretraining.vit.captions import FIRST_IDS, PAD, caption_ids, word_weights
from bridgelab.pretraining.vit.model import build, resize_patches
from bridgelab.pretraining.vit.scene_pool import FACTS, Pool
from bridgelab.world.scene import ATTRIBUTES

# Keys of the config that do not change the weights, or only how long they are trained.
NOT_RECIPE = {
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
}


def recipe(cfg: dict[str, Any]) -> str:
    """Return as text all of the config that changes the weights, except for the length of training."""
    return recipe_text(cfg, NOT_RECIPE)


def batches(counts: np.ndarray, batch: int, seed: int, epoch: int, window: int = 16) -> np.ndarray:
    """Return the order of one epoch, int [steps, batch]: shuffled, and sorted by length within windows."""
    rng = np.random.default_rng([seed, 0, epoch])
    order = rng.permutation(len(counts))[: len(counts) // batch * batch]
    for start in range(0, len(order), window * batch):
        part = order[start : start + window * batch]
        order[start : start + window * batch] = part[np.argsort(counts[part], kind="stable")]
    return rng.permutation(order.reshape(-1, batch))


def lr_share(step: int, steps: int, warmup: int, decay: float) -> float:
    """Return the share of the peak learning rate: linear up over `warmup` steps, flat, linear down to zero."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1.0, decay * steps))


def pixels(images: np.ndarray, preprocess: dict[str, Any], device: str) -> Tensor:
    """Return uint8 [batch, height, width, 3] as normalized float [batch, 3, height, width]."""
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(preprocess[k], device=device).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (x - mean) / std


class VitTraining:
    """One run: model, optimizers and step, which with the config are all that a checkpoint holds.

    Everything random follows from (seed, step), so a stopped run ends with the weights of one that was not stopped.

    Args:
        cfg: as `conf/pretrain/vision.yaml`.
        pool: the scenes.
    Raises:
        ValueError: if a batch is larger than the pool.
    """

    def __init__(self, cfg: dict[str, Any], pool: Pool):
        self.cfg, self.pool = cfg, pool
        self.model: Any  # open_clip's CoCa, whose modules have no typed attributes
        self.device = local_device().type if cfg["device"] == "auto" else cfg["device"]
        kind = torch.device(self.device).type
        self.batch, self.lr = cfg["batch"][kind], cfg["lr"][kind]
        self.steps = max(1, cfg["images"] // self.batch)
        if self.batch > len(pool):
            raise ValueError(f"batch={self.batch} is more than the {len(pool)} scenes. Lower batch.{kind}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg["seed"])
            self.model = build(cfg["model"], int(cfg["objects"][1]), cfg["decoder_mlp"]).to(self.device)
        self.weights = word_weights(cfg["words"]).to(self.device)
        self.optimizers = self._build_optimizers()
        self.peaks = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.step, self.seconds = 0, 0.0
        self.last_losses: dict[str, float] = {}  # means of the last logged steps
        self._epoch, self._order = -1, np.empty((0, 0), int)

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the blocks; AdamW for embeddings, norms, biases, first and last layers."""
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, p in self.model.named_parameters():
            inner = p.ndim == 2 and (".resblocks." in name or ".cross_attn." in name)
            (matrices if inner else others).append(p)
        return [
            Muon(matrices, lr=self.cfg["muon"] * self.lr),
            torch.optim.AdamW(others, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def start_from(self, path: str) -> None:
        """Take the weights of another run's checkpoint, or of an exported ViT; with the latter the text side starts untrained.

        They may be of another patch size.
        """
        own = self.model.state_dict()
        if path.endswith(".safetensors"):
            weights = own | load_file(path, device=self.device)
        else:
            weights = torch.load(path, map_location=self.device, weights_only=True)["model"]
        weights = {k: v.to(own[k].dtype) for k, v in weights.items() if k in own}
        resize_patches(weights, self.model)
        self.model.load_state_dict(weights)

    def loss(self, images: np.ndarray, ids: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Return contrastive and captioning loss, and the share of each attribute's words predicted right.

        Args:
            images: uint8 [batch, height, width, 3].
            ids: captions, [batch, word].
        """
        from open_clip.loss import ClipLoss

        x, ids = pixels(images, self.cfg["preprocess"], self.device), ids.to(self.device)
        if self.cfg["dtype"] == "auto":
            dtype = torch.bfloat16 if bf16_is_fast(x.device) else torch.float32
        else:
            dtype = getattr(torch, self.cfg["dtype"])
        # On a CPU flash attention's backward is slow at this size: 55 ms a call, plain matrix products 15.
        backends = (
            [SDPBackend.MATH] if x.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        )
        with sdpa_kernel(backends), torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            out = self.model(x, ids)
        logits, labels = out["logits"].float(), out["labels"]
        contrastive = ClipLoss()(
            out["image_features"].float(), out["text_features"].float(), out["logit_scale"]
        )
        captioning = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), self.weights, ignore_index=PAD
        )
        right, accuracy = logits.detach().argmax(-1) == labels, {}
        for name, first, words in zip(ATTRIBUTES, FIRST_IDS[2:], FACTS[2:], strict=True):
            accuracy[name] = right[(labels >= first) & (labels < first + len(words))].float().mean().item()
        return contrastive, captioning, accuracy

    def advance(self) -> dict[str, float]:
        """Take one optimizer step; return its losses, gradient norm and accuracies."""
        epoch, within = divmod(self.step, len(self.pool) // self.batch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, batches(self.pool.counts, self.batch, self.cfg["seed"], epoch)
        index = np.sort(self._order[within])
        rng = np.random.default_rng([self.cfg["seed"], 1, self.step])
        facts = self.pool.facts[index]
        ids = caption_ids(facts, self.pool.counts[index], rng.random(facts.shape[:2]))
        share = lr_share(self.step, self.steps, self.cfg["warmup"], self.cfg["decay"])
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share
        contrastive, captioning, accuracy = self.loss(self.pool.take(index), ids)
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
            **accuracy,
        }

    def save(self, path: Path) -> None:
        """Write the checkpoint; the old one stays until the new one is complete."""
        state = {
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
            "recipe": recipe(self.cfg),
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: if it is of another recipe, or if `images` changed when the learning rate was already falling.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        refuse_another_recipe(path, state["recipe"], recipe(self.cfg))
        falling = int((1 - self.cfg["decay"]) * min(self.steps, state["steps"]))
        if self.steps != state["steps"] and state["step"] > falling:
            raise ValueError(
                f"{path} is at step {state['step']} of {state['steps']}, this config has {self.steps}: "
                f"the learning rate would jump, as it falls from step {falling} on. "
                f"Set images={state['steps'] * self.batch}."
            )
        self.model.load_state_dict(state["model"])
        for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        self.step, self.seconds = state["step"], state["seconds"]
