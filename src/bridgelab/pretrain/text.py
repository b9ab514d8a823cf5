"""Make the miniature T5 from nothing: transformers' own class, trained on the world's text alone."""

import csv
import json
import os
import time
from pathlib import Path

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from bridgelab.pretrain.batches import NONE, PAD, Lessons, collate
from bridgelab.pretrain.lessons import PREFIXES, lessons
from bridgelab.pretrain.page import write_page
from bridgelab.text.t5 import ASSETS
from bridgelab.world.vocabulary import words

CONF = str(Path(__file__).resolve().parents[3] / "conf" / "pretrain")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the world's language, split at white space; any other word is `<unk>`."""
    vocabulary = {word: k for k, word in enumerate(["<pad>", "</s>", "<unk>", *words()])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="right",
    )


def make_model(settings: dict, vocabulary: int, seed: int) -> T5ForConditionalGeneration:
    """A T5 at its start. Four heads of the encoder's relative bias look at their neighbours from the outset."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=-(-vocabulary // 8) * 8,
        pad_token_id=PAD,
        eos_token_id=1,
        decoder_start_token_id=PAD,
        **settings,
    )
    model = T5ForConditionalGeneration._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        model.shared.weight.normal_(0, 0.5)
    return model


def loss_and_hits(model, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy per target token, and which examples the model would say right, word for word (greedy).

    The prefix takes the path that a bridge takes: vectors in front of the prompt's embeddings.
    """
    groups = batch["prefix"]
    prefix = (model.shared(groups.clamp(min=0)) * (groups != NONE).unsqueeze(-1)).sum(2)
    prompt = batch["prompt"]
    mask = torch.cat([prompt.new_ones(prefix.shape[:2]), (prompt != PAD).long()], 1)
    labels = batch["target"].masked_fill(batch["target"] == PAD, -100)
    logits = model(
        inputs_embeds=torch.cat([prefix, model.shared(prompt)], 1), attention_mask=mask, labels=labels
    ).logits.float()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    hits = ((logits.argmax(-1) == labels) | (labels == -100)).all(1)
    return loss, hits


def optimizers(model, muon_lr: float, adamw_lr: float) -> list[torch.optim.Optimizer]:
    """Muon on the matrices inside the layers, AdamW on all else (Jordan et al. 2024; what bound words to objects)."""
    matrices, bias, rest = [], [], []
    for name, p in model.named_parameters():
        if "relative_attention_bias" in name:
            bias.append(p)
        elif p.ndim == 2 and name.startswith(("encoder.block", "decoder.block")):
            matrices.append(p)
        else:
            rest.append(p)
    groups = [{"params": rest, "lr": adamw_lr}, {"params": bias, "lr": 5 * adamw_lr}]
    made = [
        torch.optim.Muon(matrices, lr=muon_lr, weight_decay=0.0),
        torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


@torch.no_grad()
def evaluate(
    model, vocabulary: dict[str, int], *, scenes: int = 100, batch: int = 128, split: str = "val"
) -> dict:
    """Share of answers said right, by form of the prefix and by family, on scenes that training never draws."""
    model.eval()
    made = lessons(
        split, 0, 0, scenes=scenes, shares={"question": 20, "explain": 0, "caption": 1, "look_up": 2}
    )
    made.sort(key=lambda lesson: (len(lesson.target.split()), len(lesson.prompt.split())))
    found: dict = {}
    device = next(model.parameters()).device
    for form in PREFIXES:
        rng = np.random.default_rng(0)
        by_family: dict[str, list[bool]] = {}
        for k in range(0, len(made), batch):
            group = made[k : k + batch]
            arrays = {name: a.to(device) for name, a in collate(group, form, vocabulary, rng).items()}
            with torch.autocast(device.type, torch.bfloat16):
                hits = loss_and_hits(model, arrays)[1].tolist()
            for lesson, hit in zip(group, hits, strict=True):
                by_family.setdefault(lesson.family, []).append(hit)
        found[form] = {family: [sum(hits), len(hits)] for family, hits in sorted(by_family.items())}
    model.train()
    return found


def mean_over_families(found: dict[str, list[int]]) -> float:
    """Unweighted mean over the question families (captions and look-ups are not questions)."""
    return float(
        np.mean([right / n for family, (right, n) in found.items() if family not in ("caption", "look_up")])
    )


def _save(path: Path, model, made: list, state: dict) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {"model": model.state_dict(), "optimizers": [o.state_dict() for o in made], "state": state}, partial
    )
    partial.replace(path)


def _log(path: Path, row: dict) -> None:
    fresh = not path.exists()
    with path.open("a") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def export(model, tokenizer, folder: Path) -> None:
    """Write weights (bfloat16 safetensors), configuration and tokenizer as transformers' own loaders read them."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = T5ForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@hydra.main(version_base="1.3", config_path=CONF, config_name="text")
def main(cfg: DictConfig) -> None:
    """Train, checkpoint, evaluate; at the end write the weights to the package's assets and a card beside them."""
    OmegaConf.resolve(cfg)
    torch.set_num_threads(cfg.threads)
    out = Path(cfg.out)
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    model = make_model(dict(cfg.model), len(vocabulary), cfg.seed).to(device)
    made = optimizers(model, cfg.muon_lr, cfg.adamw_lr)
    state = {"step": 0, "chunk": 0, "seconds": 0.0, "examples": 0}
    checkpoint = out / "last.ckpt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, content in zip(made, saved["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        state = saved["state"]
    elif cfg.start:
        model.load_state_dict(T5ForConditionalGeneration.from_pretrained(cfg.start).state_dict())
    total = cfg.minutes * 60

    def phase(share: float) -> str:
        return "easy" if share < cfg.easy_share else "compact" if share < cfg.compact_share else "both"

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=0.2) as progress:
        bar = progress.add_task("T5 from text", total=total, completed=int(state["seconds"]))
        while state["seconds"] < total:
            now = phase(state["seconds"] / total)
            _run_phase(cfg, now, phase, model, made, state, vocabulary, device, out, progress, bar)
            _save(checkpoint, model, made, state)
    found = evaluate(model, vocabulary, scenes=400, split="test")
    export(model.cpu(), tokenizer, ASSETS / "text")
    card = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": cfg.seed,
        "minutes": round(state["seconds"] / 60, 1),
        "threads": cfg.threads if device.type == "cpu" else None,
        "steps": state["step"],
        "lessons": state["examples"],
        "went_on_from": _earlier(cfg.start),
        "words": {form: {"mean": mean_over_families(f), "families": f} for form, f in found.items()},
    }
    (ASSETS / "text_card.json").write_text(json.dumps(card, indent=1) + "\n")
    write_page(ASSETS)
    print(json.dumps({form: mean_over_families(f) for form, f in found.items()}))


def _earlier(start: str | None) -> dict | None:
    """What had been spent on the weights that a run set out from, by the card beside their folder."""
    path = Path(start).parent / "text_card.json" if start else None
    if path is None or not path.exists():
        return None
    card = json.loads(path.read_text())
    return {name: card.get(name) for name in ("seed", "minutes", "steps", "lessons", "went_on_from")}


def _run_phase(cfg, now, phase, model, made, state, vocabulary, device, out, progress, bar) -> None:
    """Train until the phase ends; chunks are drawn in one worker process, in the order of their numbers."""
    forms = {"compact": 0.5, "patch_like": 0.5} if now == "both" else {"compact": 1.0}
    shares = dict(cfg.shares) if now != "easy" else {"question": 4, "explain": 0, "caption": 2, "look_up": 4}
    stream = Lessons(
        vocabulary,
        seed=cfg.seed,
        start=state["chunk"],
        batch=cfg.batch,
        scenes=cfg.scenes_per_chunk,
        shares=shares,
        forms=forms,
    )
    total = cfg.minutes * 60
    last_eval = last_save = time.monotonic()
    begun, before = time.monotonic(), state["seconds"]
    losses: list[float] = []
    for batch in DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=16):
        chunk = int(batch.pop("chunk"))
        share = state["seconds"] / total
        rate = min(1.0, (state["step"] + 1) / cfg.warmup_steps) * min(
            1.0, max(0.0, (1 - share) / cfg.decay_share)
        )
        for optimizer in made:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        with torch.autocast(device.type, torch.bfloat16):
            loss, _ = loss_and_hits(model, {k: v.to(device) for k, v in batch.items()})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in made:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        state["step"] += 1
        state["examples"] += len(batch["prompt"])
        state["seconds"] = before + time.monotonic() - begun
        if chunk == NONE:
            continue
        state["chunk"] = chunk + 1
        progress.update(bar, completed=state["seconds"])
        over = state["seconds"] >= total or phase(state["seconds"] / total) != now
        if time.monotonic() - last_eval > 60 * cfg.evaluate_every or over:
            found = evaluate(model, vocabulary, scenes=30)
            row = {k: round(v, 1) for k, v in state.items()} | {
                "phase": now,
                "loss": round(float(np.mean(losses)), 4),
            }
            row |= {form: round(mean_over_families(f), 4) for form, f in found.items()}
            row |= {f"compact/{k}": round(a / n, 3) for k, (a, n) in found["compact"].items()}
            _log(out / "curve.csv", row)
            progress.console.print({k: row[k] for k in list(row)[:8]}, soft_wrap=True)
            losses.clear()
            last_eval = time.monotonic()
        if time.monotonic() - last_save > 60 * cfg.checkpoint_every:
            _save(out / "last.ckpt", model, made, state)
            last_save = time.monotonic()
        if over:
            return


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
