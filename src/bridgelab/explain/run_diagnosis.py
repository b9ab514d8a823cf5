"""All diagnostics of one trained run. What a benchmark does not allow is listed with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from bridgelab.data.sampler import stratified_indices
from bridgelab.device import local_device
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import on_device, predict
from bridgelab.explain.attention import attention
from bridgelab.explain.clutter import clutter
from bridgelab.explain.effective_rank import rank_over_images, rank_within_image
from bridgelab.explain.nearest_words import nearest_words
from bridgelab.explain.paired_answers import paired_answers
from bridgelab.explain.probe.background import object_patches, probe_background
from bridgelab.explain.probe.objects import Layout, guess_objects, layout, probe_objects
from bridgelab.explain.saliency_maps import saliency_maps, with_answer_as_target
from bridgelab.explain.scene_annotations import SceneAnnotations
from bridgelab.explain.selection import selection
from bridgelab.model import BridgedModel
from bridgelab.progress import Progress
from bridgelab.report.diagnosis.record import Diagnosis, Map, numbers_of
from bridgelab.report.view import example_name
from bridgelab.runs.identity import config_hash
from bridgelab.runs.insert import insert_of
from bridgelab.runs.record_schema import read_config, read_record
from bridgelab.statistics.estimate import Estimate

TEST, FIT, CLUTTERED = "test", "train", "test-clutter"
BATCH_SIZE = 128
MAX_FLOATS = 2**28  # of tokens in memory at once: 1 GiB
MAX_BACKGROUND_IMAGES = 500  # about 3,000 objects


@dataclass(frozen=True)
class Amounts:
    """How many examples a diagnosis reads.

    Args:
        questions: of the test split, for selection, clutter, and being told another question.
        images: of the test split, for the tokens and to test probes on.
        fit: images of the train split, to fit probes on.
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


def diagnosis_identity(run: Path, amounts: Amounts, study: str | None = None) -> dict[str, Any]:
    """Return what a run's diagnosis depends on; it is made again if this has changed.

    Args:
        run: a run's folder.
        amounts: how many examples to read.
        study: the study that the run was diagnosed in; by default its own.
    """
    config = read_config(run)
    if study is not None:
        config.study = study
    return {"config": config_hash(config), "looked_at": vars(amounts)}


def is_diagnosis_of(diagnosis: Diagnosis, run: Path, amounts: Amounts) -> bool:
    """Return whether a diagnosis is of this run as it is, in its study or in the one that both were copied from (`paths.reuse`)."""
    if diagnosis.made_of == diagnosis_identity(run, amounts):
        return True
    origin = read_record(run).get("taken_from")
    return origin is not None and diagnosis.made_of == diagnosis_identity(
        run, amounts, str(origin).partition("/")[0]
    )


def diagnose_run(
    run: Path, amounts: Amounts, mapped: Sequence[str] = (), *, trust: bool = False
) -> Diagnosis:
    """Diagnose a run.

    Args:
        run: a finished run's folder, of a bridge that sees images.
        amounts: how many examples to read.
        mapped: names of test examples to make saliency maps of (`report.view.example_name`).
        trust: as `load_trained` takes it.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the run does not fit the models found here, or two splits do not pair.
    """
    identity = diagnosis_identity(run, amounts)
    record = read_record(run, ("bridge", "seed", "benchmark"))
    config, backbones, model = load_trained(run, local_device(), trust=trust)
    OmegaConf.set_struct(config, False)
    benchmark = target(config.benchmark, "benchmark")
    is_world, is_annotated = issubclass(benchmark, World), issubclass(benchmark, Clevr)
    shift = config.benchmark.get("shift") if is_world else None
    has_pairs = is_world and shift is None
    if has_pairs:
        config.benchmark.images[CLUTTERED] = config.benchmark.images[TEST]
    data = BenchmarkDataModule(
        backbones, [TEST, *([FIT] if is_annotated else []), *([CLUTTERED] if has_pairs else [])]
    )
    data.setup("predict")
    diagnostics = _Diagnostics(data, model, amounts)
    diagnostics.tokens()
    if model.conditioning == "question":
        diagnostics.question()
    if is_annotated:
        diagnostics.selection()
        diagnostics.bottleneck()
        diagnostics.background()
    if has_pairs:
        diagnostics.clutter()
    return Diagnosis(
        bridge=str(record["bridge"]),
        seed=int(record["seed"]),
        data_seed=int(record.get("data_seed", 0)),
        benchmark=str(record["benchmark"]),
        made_of=identity,
        numbers=diagnostics.numbers,
        counts=diagnostics.counts,
        words=diagnostics.words,
        maps=tuple(diagnostics.maps(mapped)),
        left_out=_left_out(
            data.benchmark.name,
            is_annotated=is_annotated,
            is_world=is_world,
            shift=shift,
            beside_words=insert_of(config) == "encoder_input",
        ),
    )


def _left_out(
    benchmark: str, *, is_annotated: bool, is_world: bool, shift: str | None, beside_words: bool
) -> dict[str, str]:
    """Return the diagnostics that are not possible, each with the reason."""
    reasons = {}
    if not is_annotated:
        for name in ("selection", "attention", "background", "probes"):
            reasons[name] = f"{benchmark} has no scenes and programs in CLEVR's layout"
    if not is_world:
        reasons["clutter"] = f"{benchmark} can't be drawn with clutter: benchmark=world can"
    elif shift is not None:
        reasons["clutter"] = (
            f"{TEST} has the shift {shift} already, and clutter is compared with plain ground"
        )
    if not beside_words:
        reasons["words"] = "only tokens at the T5 encoder's input are in a sequence with words"
    return reasons


class _Diagnostics:
    """The numbers of one run; each method adds its own.

    Args:
        data: the splits that the diagnostics need, set up.
        model: the run's bridge between its frozen backbones.
        amounts: how many examples to read.
    """

    def __init__(self, data: BenchmarkDataModule, model: BridgedModel, amounts: Amounts):
        self.data, self.model, self.amounts = data, model, amounts
        self.vision = data.backbones.vision
        self.grid, self.cls = self.vision.grid, int(self.vision.cls)
        self.numbers: dict[str, Estimate] = {}
        self.counts: dict[str, int] = {}
        self.words: tuple[tuple[str, float], ...] = ()

    def tokens(self) -> None:
        """Add how many directions the tokens use, and how far they are from words."""
        examples = self._one_per_image(TEST, self.amounts.images)
        tokens = self._visual_tokens(TEST, examples)
        self.counts |= {"images": len(examples), "tokens": tokens.shape[1]}
        if examples[0].kind != "caption":
            self.counts["first_questions"] = len(examples)
        self.numbers["rank/over_images"] = rank_over_images(tokens)
        self.numbers["rank/within_image"] = rank_within_image(tokens)
        if self.model.insert == "encoder_input":
            words = nearest_words(
                torch.from_numpy(tokens), self.data.backbones.text, [example.words for example in examples]
            )
            self.numbers |= numbers_of("words", words)
            # The vocabulary is fixed and not a sample, so this has no interval.
            self.numbers["words/cosine_of_words"] = Estimate(words.cosine_of_words, {})
            self.words = words.most

    def question(self) -> None:
        """Add what is lost where the bridge is told another example's question; nothing for a benchmark of choices or captions alone."""
        if not self.data.examples(TEST).get("answer"):
            return
        examples = self._questions(TEST)
        own, another = (self.data.tokenize(TEST, examples, told) for told in ("question", "mismatched"))
        metric = self.data.benchmark.metrics()["answer"]
        with Progress("told its own and another question", 2 * len(own), "questions") as bar:
            result = paired_answers(self.model, own, another, metric, progress=bar.to)
        self.numbers |= {
            "question/own": result.first,
            "question/another": result.second,
            "question/loss": result.loss,
            "question/likelihood_loss": result.likelihood_loss,
        }
        self.counts["told_questions"] = len(own)

    def selection(self) -> None:
        """Add what answers rest on and, as a description, where attention lies."""
        examples = self._questions(TEST)
        annotations = SceneAnnotations(self.data.benchmark, TEST)
        regions = np.stack([annotations.regions(example, self.grid) for example in examples])
        regions = np.pad(regions, ((0, 0), (0, 0), (self.cls, 0)))
        tokenized = self._tokenize(TEST, examples)
        with Progress("replacing patches", len(examples), "questions") as bar:
            result = selection(self.model, tokenized, regions, progress=bar.to)
        self.numbers |= numbers_of("selection", result)
        self.counts["questions"] = result.questions
        if shares := attention(self.model, tokenized, regions):
            self.numbers |= numbers_of("attention", shares)

    def clutter(self) -> None:
        """Add the cost of clutter."""
        plain, cluttered = (self._tokenize(split, self._questions(split)) for split in (TEST, CLUTTERED))
        metric = self.data.benchmark.metrics()["answer"]
        with Progress("with and without clutter", 2 * len(plain), "questions") as bar:
            result = clutter(self.model, plain, cluttered, metric, progress=bar.to)
        self.numbers |= numbers_of("clutter", result)
        self.counts["clutter_questions"] = len(plain)

    def bottleneck(self) -> None:
        """Add what can be read of the objects before and behind the bridge."""
        test = self._one_per_image(TEST, self.amounts.images)
        test_tokens = self._visual_tokens(TEST, test)
        fit = self._one_per_image(FIT, min(self.amounts.fit, max(2, MAX_FLOATS // test_tokens[0].size)))
        layouts = self._layout(FIT, fit), self._layout(TEST, test)
        for name, (fit_features, test_features) in {
            "patches": (self._patches(FIT, fit), self._patches(TEST, test)),
            "tokens": (self._visual_tokens(FIT, fit), test_tokens),
        }.items():
            self.numbers |= numbers_of(f"probe/{name}", probe_objects(fit_features, test_features, *layouts))
        self.numbers |= numbers_of("probe/guessed", guess_objects(*layouts))
        self.counts |= {"fit": len(fit), "fields": int((layouts[1].single >= 0).sum())}

    def background(self) -> None:
        """Add how much of the objects can be read off background patches."""
        objects = []
        for split, number in ((FIT, self.amounts.fit), (TEST, self.amounts.images)):
            examples = self._one_per_image(split, min(number, MAX_BACKGROUND_IMAGES))
            annotations = SceneAnnotations(self.data.benchmark, split)
            images = [example.images[0] for example in examples]
            masks = [annotations.mask(image) for image in images]
            scenes = [annotations.objects(image) for image in images]
            objects.append(object_patches(self._patches(split, examples), masks, scenes, self.grid))
        for name, shares in probe_background(*objects).items():
            self.numbers |= numbers_of(f"background/{name}", shares)
        self.counts["objects"] = len(objects[1].image)

    def maps(self, names: Sequence[str]) -> list[Map]:
        """Return saliency maps of the bridge's own answers to questions about one image, in the order of the names."""
        found: dict[str, Map] = {}
        for kind, examples in self.data.examples(TEST).items():
            if kind == "caption":
                continue
            of_name = {example_name(kind, one.id): one for one in examples if len(one.images) == 1}
            if own := [name for name in names if name in of_name]:
                maps = self._maps_of_kind([of_name[name] for name in own])
                found |= {name: replace(one, id=name) for name, one in zip(own, maps, strict=True)}
        return [found[name] for name in names if name in found]

    def _maps_of_kind(self, examples: Sequence[Example]) -> list[Map]:
        """Return saliency maps of the bridge's own answers to questions of one kind, about one image each."""
        tokenized = self._tokenize(TEST, examples)
        answers = predict(self.model, tokenized, np.arange(len(examples)), batch_size=BATCH_SIZE)
        answered = [
            with_answer_as_target(example, answer.text)
            for example, answer in zip(examples, answers, strict=True)
        ]
        return saliency_maps(self.model, self._tokenize(TEST, answered), self.grid, bool(self.cls))

    def _tokenize(self, split: str, examples: Sequence[Example]) -> TokenizedExamples:
        return self.data.tokenize(split, examples, self.model.conditioning)

    def _questions(self, split: str) -> list[Example]:
        """Return questions that count, spread over a split, the same ones for splits that have the same questions."""
        metric = self.data.benchmark.metrics()["answer"]
        questions = [e for e in self.data.examples(split)["answer"] if metric.counts(e)]
        return [questions[k] for k in stratified_indices(len(questions), self.amounts.questions)]

    def _one_per_image(self, split: str, number: int) -> list[Example]:
        """Return one example for each of some images.

        It is a caption if there are any, since a caption's prompt asks for everything and is the same for each image. Otherwise it is
        the image's first question.
        """
        kinds = self.data.examples(split)
        first: dict[tuple[str, ...], Example] = {}
        for example in kinds.get("caption") or next(filter(None, kinds.values())):
            first.setdefault(example.images, example)
        examples = list(first.values())
        return [examples[k] for k in stratified_indices(len(examples), number)]

    @torch.no_grad()
    def _visual_tokens(self, split: str, examples: Sequence[Example]) -> np.ndarray:
        """Return the bridge's tokens as the language model reads them [example, token, dim]."""
        tokenized = self._tokenize(split, examples)
        batches = []
        with Progress(f"tokens of {split}", len(examples)) as bar:
            for first in range(0, len(examples), BATCH_SIZE):
                rows = np.arange(first, min(first + BATCH_SIZE, len(examples)))
                batches.append(self.model.prefix(on_device(tokenized.batch(rows), self.model)).float().cpu())
                bar.to(int(rows[-1]) + 1)
        return torch.cat(batches).numpy()

    def _patches(self, split: str, examples: Sequence[Example]) -> np.ndarray:
        """Return the frozen features without the class token [example, patch, dim]."""
        row_of, look_up = self.data.feature_rows(split)
        rows = np.array([row_of[example.images[0]] for example in examples])
        return look_up(rows)[:, self.cls :].float().cpu().numpy()

    def _layout(self, split: str, examples: Sequence[Example]) -> Layout:
        """Return the objects of each example's image by field."""
        annotations = SceneAnnotations(self.data.benchmark, split)
        images = [example.images[0] for example in examples]
        return layout(
            [annotations.objects(image) for image in images], [annotations.size(image) for image in images]
        )
