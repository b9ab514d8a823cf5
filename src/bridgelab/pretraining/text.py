"""Make the miniature T5 from nothing: transformers' own class, trained on the world's text alone.

Beside the answer, linear heads on the encoder's later blocks learn what the question's program finds on the way
(`traces`): deep supervision (Lee et al. 2015, arXiv:1409.5185). They are thrown away; what ships is a plain T5.
"""

import csv
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from bridgelab.benchmark.metrics.caption_metric import attribute_shares
from bridgelab.config.root import config_root
from bridgelab.device import local_device
from bridgelab.model import autocast_pays
from bridgelab.optim.muon import Muon
from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.reader.batches import END, NONE, PAD, UNTOLD, Lessons, collate
from bridgelab.pretraining.reader.lessons import lessons
from bridgelab.pretraining.reader.traces import ROLES
from bridgelab.text.t5 import ASSETS, T5, load_weights
from bridgelab.world.layout import WORDS
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.vocabulary import words
from bridgelab.world.words import COLUMNS, ROWS, SLOTS
from bridgelab.world.write import GENERATOR

# How the scene is written when the T5 is measured: each in phrases, and with one position an object.
FORMS = {
    "compact": ("compact", 1.0),
    "patch_like": ("patch_like", 1.0),
    "compact_objects": ("compact", 0.0),
    "patch_like_objects": ("patch_like", 0.0),
}
BY_ATTRIBUTE = "caption, by attribute"
MOST = 10  # objects of a scene, in training as in CLEVR
TOLD = (*ROLES, "tags", "bound")  # what the heads are asked
BESIDE = 5.0  # the bias by which a local head starts
ALIKE = 2.0  # columns, the reach of the likeness of their words
CONF = str(config_root() / "conf" / "pretrain")


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


def make_model(
    settings: dict, vocabulary: dict[str, int], seed: int, local: Sequence[int] = ()
) -> T5ForConditionalGeneration:
    """A T5 at its start. Words of neighbouring columns, and of neighbouring rows, start alike: their order is a fact.

    Args:
        settings: of `T5Config`.
        vocabulary: id of each word.
        seed: of all that is drawn.
        local: heads of the encoder that start out looking at the words beside, as far as an object's phrase reaches:
            every second one to the left, the others to the right, so that what is one object's can be bound together.
    """
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=-(-len(vocabulary) // 8) * 8,
        pad_token_id=PAD,
        eos_token_id=1,
        decoder_start_token_id=PAD,
        **settings,
    )
    model = T5ForConditionalGeneration._from_config(config, attn_implementation="eager")
    if config.dense_act_fn == "gelu_new":
        for block in (*model.encoder.block, *model.decoder.block):
            # The same function in one pass over memory instead of eight.
            block.layer[-1].DenseReluDense.act = nn.GELU(approximate="tanh")
    with torch.no_grad():
        model.shared.weight.normal_(0, 0.5)
        # The output layer shares these weights: logits start small, as in the T5 that scales them.
        model.decoder.final_layer_norm.weight.fill_(settings["d_model"] ** -0.5)
        for line in (COLUMNS, ROWS):
            k = torch.arange(len(line), dtype=torch.float64)
            alike = torch.exp(-0.5 * ((k[:, None] - k) / ALIKE) ** 2) * 0.9 + 0.1 * torch.eye(len(line))
            ids = [vocabulary[word] for word in line]
            root = torch.linalg.cholesky(alike).to(model.shared.weight.dtype)
            model.shared.weight[ids] = root @ model.shared.weight[ids]
        attention = model.encoder.block[0].layer[0].SelfAttention  # its bias is every block's
        for place, head in enumerate(local):
            beside = torch.arange(1, WORDS) * (1 if place % 2 else -1)
            buckets = attention._relative_position_bucket(
                beside,
                num_buckets=config.relative_attention_num_buckets,
                max_distance=config.relative_attention_max_distance,
            )
            attention.relative_attention_bias.weight[buckets, head] = BESIDE
    return model


class TraceHeads(nn.Module):
    """Linear maps from the encoder's states to what `traces` says, to be thrown away after training.

    Args:
        dim: the encoder's channels.
        tagged: the block (from 1) whose states at the prompt's words tell the words' roles.
        bound: the block whose states at the prefix's positions tell all words of the object there, whichever of them
            stand at the position itself.
        traced: the blocks whose states at the prefix's positions tell the roles of the object there.
    """

    def __init__(self, dim: int, tagged: int, bound: int, traced: Sequence[int]):
        super().__init__()
        self.tagged, self.bound, self.traced = tagged, bound, list(traced)
        self.phrases = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, sum(map(len, SLOTS))))
        self.words = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, 1 + len(ROLES)))
        self.objects = nn.ModuleList(
            nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, len(ROLES))) for _ in self.traced
        )

    def forward(self, hidden: tuple[torch.Tensor, ...], batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the words' roles and of the objects' words, and binary cross-entropy of the objects' roles.

        Each is a mean over what is told; they are added.

        Args:
            hidden: the encoder's input and what each block makes of it, [batch, position, dim], the prefix first.
            batch: as `pretraining.batches` makes them.
        Returns:
            The loss, and how many were right and how many told [2, role + 2]: objects by role, by the last traced
            block, then the words of the question, then the words of the objects.
        """
        traces, tags = batch["traces"], batch["tags"]
        prefix = traces.shape[1]
        said = self.words(hidden[self.tagged][:, prefix:]).float()
        total = F.cross_entropy(
            said.flatten(0, 1), (tags + 1).flatten(), ignore_index=UNTOLD + 1, reduction="sum"
        ) / (tags != UNTOLD).sum().clamp(min=1)
        phrases = batch["phrases"]
        there = phrases[..., 0] >= 0
        guessed = (
            self.phrases(hidden[self.bound][:, :prefix]).float().split([len(slot) for slot in SLOTS], -1)
        )
        for slot, guess in enumerate(guessed):
            total = total + F.cross_entropy(guess[there], phrases[..., slot][there]) / len(SLOTS)
        words_right = torch.stack([(g.argmax(-1) == phrases[..., k]) & there for k, g in enumerate(guessed)])
        told = traces >= 0
        target = traces.clamp(min=0).float()
        for head, block in zip(self.objects, self.traced, strict=True):
            logits = head(hidden[block][:, :prefix]).float()
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            total = total + (loss * told).sum() / told.sum().clamp(min=1) / len(self.traced)
        right = ((logits > 0) == (traces > 0)) & told
        told_words = tags != UNTOLD
        right_words = (said.argmax(-1) == tags + 1) & told_words
        counts = torch.stack([right.sum((0, 1)), told.sum((0, 1))])
        words = torch.stack([right_words.sum(), told_words.sum()])[:, None]
        bound = torch.stack([words_right.sum(), len(SLOTS) * there.sum()])[:, None]
        return total, torch.cat([counts, words, bound], 1).detach()


def blurred(prefix: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    r"""Some scenes behind noise: $a x + \sqrt{1 - a^2}\, s \epsilon$ with $a$ uniform in [0, 1], $s$ the batch's RMS.

    A bridge starts as noise to the T5. One that never met noise reads it as some scene, with confidence, and tells the
    bridge nothing of what would be better; one that did falls back on its prior, and then follows the evidence as it
    grows. Source of the idea: CapDec (Nukrai et al. 2022, arXiv:2211.00575), there at one strength.

    Args:
        prefix: [batch, position, dim].
        share: of the scenes, that are blurred.
    """
    device, shape = prefix.device, (len(prefix), 1, 1)
    clear = torch.rand(shape, generator=generator).to(device)
    chosen = torch.rand(shape, generator=generator).to(device) < share
    noise = torch.randn(prefix.shape, generator=generator).to(device) * prefix.detach().square().mean().sqrt()
    return torch.where(chosen, clear * prefix + (1 - clear**2).sqrt() * noise, prefix)


def joined(
    model: Any, batch: dict, blur: Callable[[torch.Tensor], torch.Tensor] = lambda prefix: prefix
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the encoder reads: the scene's vectors, which `blur` may change, then the prompt's embeddings; and the mask.

    It is the path that a bridge takes.
    """
    groups, prompt = batch["prefix"], batch["prompt"]
    prefix = blur((model.shared(groups.clamp(min=0)) * (groups != NONE).unsqueeze(-1)).sum(2))
    mask = torch.cat([prompt.new_ones(prefix.shape[:2]), (prompt != PAD).long()], 1)
    return torch.cat([prefix, model.shared(prompt)], 1), mask


def loss_and_hits(
    model: Any,
    batch: dict,
    heads: TraceHeads | None = None,
    blur: Callable[[torch.Tensor], torch.Tensor] = lambda prefix: prefix,
) -> tuple:
    """Cross-entropy per target token; which examples the model would say right, word for word (greedy); the trace.

    Returns:
        The loss, hits [batch], and what `heads` returns (None without them).
    """
    embedded, mask = joined(model, batch, blur)
    labels = batch["target"].masked_fill(batch["target"] == PAD, -100)
    out = model(
        inputs_embeds=embedded, attention_mask=mask, labels=labels, output_hidden_states=heads is not None
    )
    logits = out.logits.float()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    hits = ((logits.argmax(-1) == labels) | (labels == -100)).all(1)
    return loss, hits, heads(out.encoder_hidden_states, batch) if heads else None


def captions_by_attribute(model: Any, batch: dict, said: dict[int, str]) -> list[float]:
    """The share of attributes right in what the model says of its own accord, for each caption of a batch."""
    embedded, mask = joined(model, batch)
    ids = model.generate(
        inputs_embeds=embedded, attention_mask=mask, max_new_tokens=batch["target"].shape[1], do_sample=False
    )
    texts, targets = (
        # The embedding has more rows than there are words: an untrained model may say one that is none.
        [" ".join(said.get(k, "<unk>") for k in row if k > END) for row in rows.tolist()]
        for rows in (ids, batch["target"])
    )
    return [attribute_shares(t, w)["attributes"] for t, w in zip(texts, targets, strict=True)]


def optimizers(model: Any, heads: nn.Module, muon_lr: float, adamw_lr: float) -> list[torch.optim.Optimizer]:
    """Muon on the matrices inside the layers, AdamW on all else (Jordan et al. 2024; what bound words to objects)."""
    matrices, bias, rest = [], [], list(heads.parameters())
    for name, p in model.named_parameters():
        if "relative_attention_bias" in name:
            bias.append(p)
        elif p.ndim == 2 and name.startswith(("encoder.block", "decoder.block")):
            matrices.append(p)
        else:
            rest.append(p)
    groups = [{"params": rest, "lr": adamw_lr}, {"params": bias, "lr": 5 * adamw_lr}]
    made: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=muon_lr),
        torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


@torch.no_grad()
def evaluate(
    model: Any,
    vocabulary: dict[str, int],
    *,
    scenes: int = 100,
    batch: int = 128,
    split: str = "val",
    objects: tuple[int, int] = (3, 10),
) -> dict:
    """Share of answers said right, by form of the prefix and by family, on scenes that training never draws."""
    model.eval()
    shares = {"question": 20, "caption": 1, "look_up": 2}
    made = lessons(split, 0, 0, scenes=scenes, shares=shares, objects=objects)
    made.sort(key=lambda lesson: (len(lesson.target.split()), len(lesson.prompt.split())))
    found: dict = {}
    said = {k: word for word, k in vocabulary.items()}
    device = next(model.parameters()).device
    for name, (form, cut) in FORMS.items():
        rng = np.random.default_rng(0)
        family_table: dict[str, list[float]] = {}
        for k in range(0, len(made), batch):
            group = made[k : k + batch]
            arrays = {key: a.to(device) for key, a in collate(group, form, vocabulary, rng, cut).items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast_pays(device)):
                hits = loss_and_hits(model, arrays)[1].tolist()
                captions = [k for k, lesson in enumerate(group) if lesson.family == "caption"]
                if captions:
                    of = {key: a[captions] for key, a in arrays.items()}
                    family_table.setdefault(BY_ATTRIBUTE, []).extend(captions_by_attribute(model, of, said))
            for lesson, hit in zip(group, hits, strict=True):
                family_table.setdefault(lesson.family, []).append(hit)
        found[name] = {family: [sum(hits), len(hits)] for family, hits in sorted(family_table.items())}
    model.train()
    return found


def mean_over_families(found: dict[str, list[int]]) -> float:
    """Unweighted mean over the families of questions."""
    return float(np.mean([right / n for family, (right, n) in found.items() if family in FAMILIES]))


def _save(path: Path, model: Any, heads: nn.Module, made: list, state: dict) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "optimizers": [o.state_dict() for o in made],
            "state": state,
        },
        partial,
    )
    partial.replace(path)


def _log(path: Path, row: dict) -> None:
    fresh = not path.exists()
    with path.open("a") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights (bfloat16 safetensors), configuration and tokenizer as transformers' own loaders read them."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = T5ForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@hydra.main(version_base="1.3", config_path=CONF, config_name="text")
def main(cfg: DictConfig) -> None:
    """Hydra app: `python -m bridgelab.pretraining.text reader=prose out=runs/pretrain/longer`."""
    OmegaConf.resolve(cfg)
    found = train(cfg)
    print(json.dumps({form: mean_over_families(f) for form, f in found.items()}))


def train(cfg: DictConfig) -> dict:
    """Train, checkpoint, evaluate; write the weights, a card and the page to the package's assets, or to `out`.

    Args:
        cfg: as `conf/pretrain/text.yaml`.
    Returns:
        By form of the prefix and by family [right, asked], on scenes of the test stream.
    """
    torch.set_num_threads(cfg.threads)
    out = Path(cfg.out)
    out.mkdir(parents=True, exist_ok=True)
    device = local_device()
    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    model = make_model(dict(cfg.model), vocabulary, cfg.seed, cfg.local_heads).to(device)
    heads = TraceHeads(model.config.d_model, cfg.tagged_block, cfg.bound_block, cfg.traced_blocks).to(device)
    made = optimizers(model, heads, cfg.muon_lr, cfg.adamw_lr)
    state = {"step": 0, "chunk": 0, "seconds": 0.0, "lessons": 0}
    checkpoint = out / "last.ckpt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        heads.load_state_dict(saved["heads"])
        for optimizer, content in zip(made, saved["optimizers"], strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(content)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak  # the config's, which may have been changed
        state = saved["state"]
    elif cfg.start:
        model.load_state_dict(load_weights(cfg.start, cfg.start).state_dict())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=0.2) as progress:
        bar = progress.add_task("T5 from text", total=cfg.lessons, completed=int(state["lessons"]))
        while state["lessons"] < cfg.lessons:
            _run_phase(cfg, model, heads, made, state, vocabulary, device, out, progress, bar)
            _save(checkpoint, model, heads, made, state)
    found = evaluate(model, vocabulary, scenes=cfg.test_scenes, split="test")
    crowded = evaluate(model, vocabulary, scenes=cfg.test_scenes, split="test", objects=(MOST, MOST))
    assets = ASSETS if cfg.install else out
    folder = assets / cfg.shipped_as
    export(model.cpu(), tokenizer, folder)
    recipe: Any = OmegaConf.to_container(cfg)  # less what is a matter of this machine
    card = {
        "fingerprint": T5(str(folder)).fingerprint,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": cfg.seed,
        "minutes": round(state["seconds"] / 60, 1),
        "threads": cfg.threads if device.type == "cpu" else None,
        "steps": state["step"],
        "lessons": state["lessons"],
        "went_on_from": _earlier(cfg.start),
        "recipe": {
            str(key): value for key, value in recipe.items() if key not in ("out", "start", "install")
        },
        "curve": _curve(out / "curve.csv"),
        "measured_on_generator": GENERATOR,
        "words": by_form(found),
        "words_with_most_objects": {"objects": MOST, **by_form(crowded)},
    }
    _card(folder).write_text(json.dumps(card, indent=1) + "\n")
    write_page(assets)
    return found


def _card(folder: Path) -> Path:
    """What is told of the weights in a folder, beside it."""
    return folder.with_name(f"{folder.name}_card.json")


def by_form(found: dict) -> dict:
    """As a card holds it: of each form of the prefix the mean over families of questions, and the families."""
    return {form: {"mean": mean_over_families(f), "families": f} for form, f in found.items()}


def _curve(path: Path) -> list[dict[str, float]]:
    """What the validations on the way said, less what a stopped run wrote twice."""
    with path.open(newline="") as file:
        rows = {int(row["lessons"]): row for row in csv.DictReader(file)}
    names = ("loss", *FORMS, "trace/asked")
    return [{"lessons": k} | {name: float(rows[k][name]) for name in names} for k in sorted(rows)]


def _earlier(start: str | None) -> dict | None:
    """What had been spent on the weights that a run set out from, by the card beside their folder."""
    path = _card(Path(start)) if start else None
    if path is None or not path.exists():
        return None
    card = json.loads(path.read_text())
    return {name: card.get(name) for name in ("seed", "minutes", "steps", "lessons", "went_on_from")}


def phase(cfg: DictConfig, lessons: int) -> int:
    """Which of `cfg.phases` training is in after some lessons."""
    return max(k for k, p in enumerate(cfg.phases) if lessons >= round(p["from"] * cfg.lessons))


def learning_rate(cfg: DictConfig, step: int, lessons: int) -> float:
    """The rate as a share of its peak: linear warm-up, then constant, then linear to zero."""
    left = (1 - lessons / cfg.lessons) / cfg.decay_share
    return min(1.0, (step + 1) / cfg.warmup_steps) * min(1.0, max(0.0, left))


def _run_phase(
    cfg: DictConfig, model: Any, heads: TraceHeads, made: list, state: dict, vocabulary: dict[str, int], device: torch.device,
    out: Path, progress: Progress, bar: TaskID,
) -> None:  # fmt: skip
    """Train until the phase ends; chunks are drawn in one worker process, in the order of their numbers."""
    now = phase(cfg, state["lessons"])
    taught = cfg.phases[now]
    stream = Lessons(
        vocabulary,
        seed=cfg.seed,
        start=state["chunk"],
        batch=cfg.batch,
        scenes=cfg.scenes_per_chunk,
        shares=dict(cfg.shares),
        forms=dict(taught.forms),
        cut=tuple(taught.cut),
        objects=tuple(taught.objects),
        families=[f for f in FAMILIES if not taught.families or f.startswith(tuple(taught.families))],
    )
    last_eval = last_save = time.monotonic()
    begun, before = time.monotonic(), state["seconds"]
    losses: list[float] = []
    seen = torch.zeros(2, len(TOLD))
    for batch in DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=16):
        chunk = int(batch.pop("chunk"))
        rate = learning_rate(cfg, state["step"], state["lessons"])
        for optimizer in made:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        # By the step, so that a run that was stopped goes on with the noise that it would have had.
        noise = torch.Generator().manual_seed(cfg.seed * 10**8 + state["step"])
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast_pays(device)):
            loss, _, (traced, counts) = loss_and_hits(
                model,
                {k: v.to(device) for k, v in batch.items()},
                heads,
                partial(blurred, share=taught.blur, generator=noise),
            )
        (loss + cfg.trace_weight * traced).backward()
        torch.nn.utils.clip_grad_norm_([*model.parameters(), *heads.parameters()], 1.0)
        for optimizer in made:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        seen += counts.cpu()
        state["step"] += 1
        state["lessons"] += len(batch["prompt"])
        state["seconds"] = before + time.monotonic() - begun
        if chunk == NONE:
            continue
        state["chunk"] = chunk + 1
        progress.update(bar, completed=state["lessons"])
        over = state["lessons"] >= cfg.lessons or phase(cfg, state["lessons"]) != now
        if time.monotonic() - last_eval > 60 * cfg.evaluate_every or over:
            found = evaluate(model, vocabulary, scenes=30)
            row = {k: round(v, 1) for k, v in state.items()} | {"loss": round(float(np.mean(losses)), 4)}
            row |= {form: round(mean_over_families(f), 4) for form, f in found.items()}
            row |= {f"trace/{r}": round(float(a / n), 3) for r, a, n in zip(TOLD, *seen, strict=True)}
            row |= {f"compact/{k}": round(a / n, 3) for k, (a, n) in found["compact"].items()}
            _log(out / "curve.csv", row)
            said = {
                k: row[k] for k in ("lessons", "loss", *FORMS, "trace/tags", "trace/bound", "trace/asked")
            }
            progress.console.print(*(f"{k} {v}" for k, v in said.items()), soft_wrap=True)
            losses.clear()
            seen = torch.zeros(2, len(TOLD))
            last_eval = time.monotonic()
        if time.monotonic() - last_save > 60 * cfg.checkpoint_every:
            _save(out / "last.ckpt", model, heads, made, state)
            last_save = time.monotonic()
        if over:
            return


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
