"""All diagnostics of one trained run: what each needs is made ready here, and what cannot be told is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.world import World
from bridgelab.config.instantiate import target
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.data.sampler import spread
from bridgelab.device import local_device
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import on_device, predict
from bridgelab.explain.attention import attention
from bridgelab.explain.clutter import background, clutter, things
from bridgelab.explain.nearest_words import nearest_words
from bridgelab.explain.probe.objects import (
    guessed,
    layout,
    rank_over_images,
    rank_within_image,
    readable,
)
from bridgelab.explain.saliency_maps import maps, said_instead
from bridgelab.explain.scene_annotations import Places
from bridgelab.explain.selection import selection
from bridgelab.model import BridgedModel
from bridgelab.progress import Progress
from bridgelab.report.diagnosis.record import Diagnosis, numbers_of
from bridgelab.runs.identity import config_hash
from bridgelab.runs.record_schema import read_config, read_record
from bridgelab.statistics.estimate import Estimate

TEST, FIT, CLUTTERED = "test", "train", "test-clutter"
BATCH = 128
MOST_FLOATS = 2**28  # of tokens that are held at once: 1 GiB


@dataclass(frozen=True)
class Amounts:
    """How much is looked at.

    Args:
        questions: of the test split, for selection and clutter.
        images: of the test split, whose tokens are looked at, and that probes are judged on.
        fit: of the train split, that probes are fitted on.
    Raises:
        ValueError: if one is below 2.
    """

    questions: int = 400
    images: int = 400
    fit: int = 1500

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 2:
                raise ValueError(f"{name}={value}: at least 2 are needed. Set --{name} to more.")


def made_of(run: Path, amounts: Amounts) -> dict[str, Any]:
    """What a diagnosis of a run hangs on: it is made again if this has changed."""
    return {"config": config_hash(read_config(run)), "looked_at": vars(amounts)}


def look(run: Path, amounts: Amounts, shown: Sequence[str] = (), *, trust: bool = False) -> Diagnosis:
    """Diagnose a run.

    Args:
        run: a finished run's folder, of a bridge that sees images.
        amounts: how much is looked at.
        shown: ids of test examples of which maps are made.
        trust: as `load_trained` takes it.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the run does not fit the models that are here, or two splits that should pair do not.
    """
    identity = made_of(run, amounts)
    record = read_record(run, ("bridge", "seed", "benchmark"))
    config, backbones, model = load_trained(run, local_device(), trust=trust)
    OmegaConf.set_struct(config, False)
    is_world = issubclass(target(config.benchmark, "benchmark"), World)
    if is_world:
        config.benchmark.images[CLUTTERED] = config.benchmark.images[TEST]
    annotated = issubclass(target(config.benchmark, "benchmark"), Clevr)
    splits = [TEST, *([FIT] if annotated else []), *([CLUTTERED] if is_world else [])]
    data = BenchmarkDataModule(backbones, splits)
    data.setup("predict")
    found = _Found(data, model, amounts)
    left_out: dict[str, str] = {}
    found.tokens()
    if annotated:
        found.selection()
        found.bottleneck()
        found.background()
    else:
        for name in ("selection", "bottleneck", "background"):
            left_out[name] = f"{data.benchmark.name} has no scenes and programs in CLEVR's layout"
    if is_world:
        found.clutter()
    else:
        left_out["clutter"] = f"{data.benchmark.name} can't be drawn with clutter: benchmark=world can"
    if config.model.insert != "encoder_input":
        left_out["words"] = "tokens that enter behind the T5's encoder do not stand beside words"
    return Diagnosis(
        bridge=str(record["bridge"]),
        seed=int(record["seed"]),
        data_seed=int(record.get("data_seed", 0)),
        benchmark=str(record["benchmark"]),
        made_of=identity,
        numbers=found.numbers,
        counts=found.counts,
        words=found.words,
        maps=tuple(found.maps(shown)),
        left_out=left_out,
    )


class _Found:
    """The numbers of one run, as they are found."""

    def __init__(self, data: BenchmarkDataModule, model: BridgedModel, amounts: Amounts):
        self.data, self.model, self.amounts = data, model, amounts
        self.vision = data.backbones.vision
        self.grid, self.cls = self.vision.grid, int(self.vision.cls)
        self.numbers: dict[str, Estimate] = {}
        self.counts: dict[str, int] = {}
        self.words: tuple[tuple[str, float], ...] = ()

    def prepared(self, split: str, examples: Sequence[Example]) -> TokenizedExamples:
        return self.data.tokenize(split, examples, self.model.conditioning)

    def questions(self, split: str) -> list[Example]:
        """Questions of a split, spread over all; the same ones of a split with the same questions."""
        asked = self.data.examples(split)["answer"]
        return [asked[k] for k in spread(len(asked), self.amounts.questions)]

    def one_each(self, split: str, most: int) -> list[Example]:
        """An example for each of some images: a caption where there are any, since its prompt asks for all there is."""
        kinds = self.data.examples(split)
        first: dict[tuple[str, ...], Example] = {}
        for example in kinds.get("caption") or next(iter(kinds.values())):
            first.setdefault(example.images, example)
        examples = list(first.values())
        return [examples[k] for k in spread(len(examples), most)]

    @torch.no_grad()
    def prefixes(self, split: str, examples: Sequence[Example]) -> np.ndarray:
        """The bridge's tokens [example, token, dim], as the T5 reads them."""
        prepared = self.prepared(split, examples)
        found = []
        with Progress(f"tokens of {split}", len(examples)) as shown:
            for first in range(0, len(examples), BATCH):
                rows = np.arange(first, min(first + BATCH, len(examples)))
                found.append(self.model.prefix(on_device(prepared.batch(rows), self.model)).float().cpu())
                shown.to(int(rows[-1]) + 1)
        return torch.cat(found).numpy()

    def patches(self, split: str, examples: Sequence[Example]) -> np.ndarray:
        """The frozen features [example, patch, dim], without a class token."""
        row_of, look_up = self.data.feature_rows(split)
        rows = np.array([row_of[example.images[0]] for example in examples])
        return look_up(rows)[:, self.cls :].float().numpy()

    def tokens(self) -> None:
        """How many directions the tokens use, and where they lie among words."""
        examples = self.one_each(TEST, self.amounts.images)
        tokens = self.prefixes(TEST, examples)
        self.counts |= {"images": len(examples), "tokens": tokens.shape[1]}
        self.numbers["rank/over_images"] = rank_over_images(tokens)
        self.numbers["rank/within_image"] = rank_within_image(tokens)
        if self.model.insert == "encoder_input":
            beside = nearest_words(
                torch.from_numpy(tokens),
                self.data.backbones.text,
                [example.words for example in examples],
            )
            self.numbers |= numbers_of("words", beside)
            # The vocabulary is not drawn, so there is no interval.
            self.numbers["words/cosine_of_words"] = Estimate(beside.cosine_of_words, {})
            self.words = beside.most

    def selection(self) -> None:
        """What answers rest on, and as a description where attention lies."""
        examples = self.questions(TEST)
        places = Places(self.data.benchmark, TEST)
        parts = np.stack([places.parts(example, self.grid) for example in examples])
        parts = np.pad(parts, ((0, 0), (0, 0), (self.cls, 0)))
        prepared = self.prepared(TEST, examples)
        with Progress("replacing patches", len(examples), "questions") as shown:
            found = selection(self.model, prepared, parts, progress=shown.to)
        self.numbers |= numbers_of("selection", found)
        self.counts["questions"] = found.questions
        if seen := attention(self.model, prepared, parts):
            self.numbers |= numbers_of("attention", seen)

    def clutter(self) -> None:
        """What things on the ground cost."""
        plain, cluttered = (self.prepared(split, self.questions(split)) for split in (TEST, CLUTTERED))
        metric = self.data.benchmark.metrics()["answer"]
        with Progress("with and without clutter", 2 * len(plain), "questions") as shown:
            found = clutter(self.model, plain, cluttered, metric, progress=shown.to)
        self.numbers |= numbers_of("clutter", found)
        self.counts["clutter_questions"] = len(plain)

    def bottleneck(self) -> None:
        """What is readable of the objects before and behind the bridge."""
        new = self.one_each(TEST, self.amounts.images)
        tokens = self.prefixes(TEST, new)
        fit = self.one_each(FIT, min(self.amounts.fit, max(2, MOST_FLOATS // tokens[0].size)))
        of_fit, of_new = (
            layout(*self.scenes(split, examples)) for split, examples in ((FIT, fit), (TEST, new))
        )
        for name, (before, after) in {
            "patches": (self.patches(FIT, fit), self.patches(TEST, new)),
            "tokens": (self.prefixes(FIT, fit), tokens),
        }.items():
            self.numbers |= numbers_of(f"probe/{name}", readable(before, after, of_fit, of_new))
        self.numbers |= numbers_of("probe/guessed", guessed(of_fit, of_new))
        self.counts |= {"fit": len(fit), "fields": int((of_new.single >= 0).sum())}

    def scenes(self, split: str, examples: Sequence[Example]) -> tuple[list[Any], list[tuple[int, int]]]:
        """The objects of each image, and its size."""
        places = Places(self.data.benchmark, split)
        images = [example.images[0] for example in examples]
        return [places.objects(image) for image in images], [places.size(image) for image in images]

    def background(self) -> None:
        """How much of the objects stands in the background's patches."""
        made = []
        for split, most in ((FIT, self.amounts.fit), (TEST, self.amounts.images)):
            examples = self.one_each(split, min(most, 500))  # some 3,000 objects
            places = Places(self.data.benchmark, split)
            covers = [places.cover(example.images[0]) for example in examples]
            scenes = [places.objects(example.images[0]) for example in examples]
            made.append(things(self.patches(split, examples), covers, scenes, self.grid))
        for name, found in background(*made).items():
            self.numbers |= numbers_of(f"background/{name}", found)
        self.counts["objects"] = len(made[1].image)

    def maps(self, shown: Sequence[str]) -> list[Any]:
        """Where the bridge's own answers to some questions rest."""
        of_id = {e.id: e for kind, own in self.data.examples(TEST).items() if kind != "caption" for e in own}
        examples = [of_id[one] for one in shown if one in of_id and len(of_id[one].images) == 1]
        if not examples:
            return []
        said = predict(self.model, self.prepared(TEST, examples), np.arange(len(examples)), batch_size=BATCH)
        own = [said_instead(example, one.text) for example, one in zip(examples, said, strict=True)]
        return maps(self.model, self.prepared(TEST, own), self.grid, bool(self.cls))
