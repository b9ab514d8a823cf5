"""A benchmark's splits as Lightning's DataModule: examples, the features of their images, training batches."""

import copy
import hashlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.backbones import Backbones
from bridgelab.benchmark.contract import check_benchmark, check_tags, read_examples
from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples, TrainingBatches
from bridgelab.data.example_limits import limit_examples
from bridgelab.data.features.feature_source import SPLITS, broken_images, image_features, skips
from bridgelab.data.image_files import missing, refuse_broken, refuse_too_many
from bridgelab.data.pools import training_pools, warn_of_unknown_words
from bridgelab.data.sampler import MixtureSampler
from bridgelab.data.scene_words import scene_words
from bridgelab.data.shuffled_images import another_image
from bridgelab.data.split_checks import check_captioned, check_limit, check_metrics
from bridgelab.out_of_memory import SMALLER_VIT, explain_full_gpu

MAX_SKIPPED = 0.1  # for records that are older than `data.max_skipped`
log = logging.getLogger(__name__)


def build_benchmark(config: DictConfig) -> Any:
    """Return the benchmark that a run's config names, before its data are read.

    Raises:
        ValueError: if it is a class of the user's own that breaks the contract, or raised by the class itself.
    """
    return check_benchmark(build(config.benchmark, "benchmark"))


class BenchmarkDataModule(pl.LightningDataModule):
    """A benchmark's splits, as a bridge between two frozen backbones reads them.

    The constructor reads no data; `setup` does. `prepare_data` is left empty: every process calls `setup`, and what is
    missing on disk (the rendered world, the features) is made by all of them together, under locks. There is no
    `val_dataloader` and no `test_dataloader`, because answers are generated: `evaluation.predict` takes examples, puts them
    into batches of like lengths and shares these over the processes.

    Args:
        backbones: the frozen backbones, with the run's config.
        splits: the splits to read.
        kinds: the kinds of examples to read; None for all that the benchmark has.
        benchmark: the benchmark; None for that of the config.

    Attributes:
        pools: tokenized training examples by pool, after `setup("fit")`.
        val: tokenized validation examples by kind, within `train.val_limit`, after `setup("fit")`.
        skipped: problems of images that are left out, by path, and the number of examples left out with them, by split.
    """

    def __init__(
        self,
        backbones: Backbones,
        splits: Sequence[str] = SPLITS,
        kinds: Sequence[str] | None = None,
        benchmark: Any = None,
    ):
        super().__init__()
        self.backbones, self.config, self.splits = backbones, backbones.config, tuple(splits)
        self.benchmark = build_benchmark(self.config) if benchmark is None else benchmark
        self.kinds = tuple(self.benchmark.kinds if kinds is None else kinds)
        self.skipped: dict[str, Any] = {"images": {}, "examples": {}}
        self.image_features: Any = None
        self.conditioning = "none"
        self.pools: dict[str, TokenizedExamples] = {}
        self.val: dict[str, TokenizedExamples] = {}
        self._examples: dict[str, dict[str, list[Example]]] = {}
        self._rows: dict[str, tuple[dict[str, int], Callable]] = {}
        self._batches: TrainingBatches | None = None

    def setup(self, stage: str) -> None:
        """Read the splits, check them, and encode their images. Only the first call does something.

        Args:
            stage: "fit" checks all splits against the run's config, and tokenizes the training pools and val. "test" checks
                all splits against `evaluate.limit`. "predict" checks nothing.
        Raises:
            ValueError: if a split has no examples, a tag has values of two types, a metric means nothing on them, images are missing
                or broken and `data.on_error` refuses them, or more images than `data.max_skipped` would be left out.
        """
        if self._examples:
            return
        log.info("reading the examples of %s", self.benchmark.name)
        self._examples = {
            split: {kind: read_examples(self.benchmark, split, kind) for kind in self.kinds}
            for split in self.splits
        }
        for split, kinds in self._examples.items():
            examples = itertools.chain.from_iterable(kinds.values())
            check_tags(((e.id, e.tags) for e in examples), f"{self.benchmark.name}, {split}", "example ")
        self._check_splits(stage)
        if stage == "fit":  # a bridge that can't be built says so before images are encoded
            model = self.backbones.model(self.config.seed, images=self.images_per_example)
            self.conditioning = model.conditioning
        self._encode_images()
        if self.skipped["images"]:
            self._check_splits(stage)
        if stage == "fit":
            pools = training_pools(self.examples("train"), self.config.train, self.benchmark.name)
            self.pools = {
                name: self.tokenize("train", pool, self.conditioning) for name, pool in pools.items()
            }
            warn_of_unknown_words(self.pools, self.backbones.text)
            self.val = self.tokenize_limited("val", self.config.train.val_limit, self.conditioning)

    def train_dataloader(self) -> TrainingBatches:
        """Return the batches chosen by `with_batches`, of which each process takes its share."""
        if self._batches is None:
            raise RuntimeError("the order of training batches is not chosen: call with_batches first.")
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            self._batches.sampler.shard(rank, world_size, self.trainer.accumulate_grad_batches)
        return self._batches

    def with_batches(self, batches: TrainingBatches) -> "BenchmarkDataModule":
        """Return this data with an order of training batches, for one `Trainer.fit`."""
        ordered = copy.copy(self)
        ordered._batches = batches
        return ordered

    def batches(self, steps: int, data_seed: int) -> TrainingBatches:
        """Return training batches in the order of a data seed."""
        train = self.config.train
        stages: Any = OmegaConf.to_container(train.stages, resolve=True)
        sampler = MixtureSampler(
            {name: pool.prompt_lengths for name, pool in self.pools.items()},
            stages,
            steps=steps,
            batch_size=train.batch_size,
            seed=data_seed,
            window=train.window,
        )
        return TrainingBatches(sampler, self.pools)

    def examples(self, split: str) -> dict[str, list[Example]]:
        """Return a split's examples by kind."""
        return self._examples[split]

    def limited_examples(
        self, split: str, limit: Mapping[str, int | None], *, whole_groups: bool = False
    ) -> dict[str, list[Example]]:
        """Return a split's examples by kind, within a limit: see `limit_examples`."""
        return limit_examples(self._examples[split], limit, whole_groups=whole_groups)

    def tokenize(self, split: str, examples: Sequence[Example], conditioning: str) -> TokenizedExamples:
        """Return examples of a split as arrays, for a bridge of this conditioning."""
        row_of, features = self.feature_rows(split)
        max_length = self.config.data.get("max_length")  # which older runs lack
        tokenized = TokenizedExamples(
            examples, self.backbones.text, row_of, features, conditioning, max_length
        )
        for line in tokenized.outliers:
            log.warning("%s: %s", split, line)
        return tokenized

    def tokenize_limited(
        self, split: str, limit: Mapping[str, int | None], conditioning: str, *, whole_groups: bool = False
    ) -> dict[str, TokenizedExamples]:
        """Return `limited_examples` as arrays, for a bridge of this conditioning."""
        limited = self.limited_examples(split, limit, whole_groups=whole_groups)
        return {kind: self.tokenize(split, examples, conditioning) for kind, examples in limited.items()}

    def test_examples(self, split: str, conditioning: str) -> dict[str, TokenizedExamples]:
        """Return the examples to evaluate on, by kind, within `evaluate.limit`."""
        return self.tokenize_limited(split, self.config.evaluate.limit, conditioning, whole_groups=True)

    def caption_requests(
        self,
        tests: Mapping[str, TokenizedExamples],
        captions: Sequence[Example],
        *,
        split: str,
        conditioning: str,
    ) -> TokenizedExamples | None:
        """Return an example with the prompt `evaluate.captioned` for each image of the questions; None if that is null.

        Args:
            tests: the questions, by kind.
            captions: of training. The longest is the target of each request, so that a caption may be as long.
            split: of the questions.
            conditioning: of the bridge.
        """
        prompt = self.config.evaluate.captioned
        if prompt is None:
            return None
        longest = max((e.answers[0] for e in captions), key=len)
        images = {e.images for kind, own in tests.items() if kind != "caption" for e in own.examples}
        requests = [
            Example(f"caption {k}", paths, prompt, (longest,), "caption")
            for k, paths in enumerate(sorted(images))
        ]
        return self.tokenize(split, requests, conditioning)

    def feature_rows(self, split: str) -> tuple[dict[str, int], Callable]:
        """Return the row of each image of a split, and a function from rows to features [image, patch, dim]."""
        if split not in self._rows:
            images = self._images(split)
            row_of = {path: row for row, path in enumerate(images)}
            self._rows[split] = row_of, self._feature_lookup(split, images)
        return self._rows[split]

    @property
    def images_per_example(self) -> int:
        """The number of images of a training example."""
        return next(len(e.images) for examples in self.examples("train").values() for e in examples)

    def num_images(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self._images(split))

    def patch_moments(self, split: str) -> dict[str, torch.Tensor]:
        """Return the `mean` and `std` [dim] of a split's patches; empty for a bridge that reads no patches."""
        if self.image_features is None:
            return {}
        own = self.image_features.subset(self._images(split))
        return {"mean": own.mean, "std": own.std}

    def fingerprint(self) -> str:
        """Return a hash of all training and validation examples."""
        digests = [own.digest() for group in (self.pools, self.val) for _, own in sorted(group.items())]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]

    def content(self) -> dict[str, str]:
        """Return hashes of what `fingerprint` leaves out of the examples, those that cost nothing more.

        Returns:
            `images`, of the files, if the feature store has read them; `choices`, if examples have some.
        """
        found: dict[str, str] = {}
        examples = [
            e for group in (self.pools, self.val) for _, own in sorted(group.items()) for e in own.examples
        ]
        if any(e.choices for e in examples):
            sha = hashlib.sha256()
            for e in examples:
                sha.update("\x1f".join(e.choices).encode() + b"\x1e")
            found["choices"] = sha.hexdigest()[:16]
        if getattr(self.image_features, "hashes", None) is not None:
            sha = hashlib.sha256()
            for split, group in (("train", self.pools), ("val", self.val)):
                hashes = self.image_features.subset(self._images(split)).hashes
                for _, own in sorted(group.items()):
                    sha.update(hashes[own.images].tobytes())
            found["images"] = sha.hexdigest()[:16]
        return found

    def record_fields(self) -> dict[str, Any]:
        """Return what a run's record says of features and images."""
        return {
            "features": "none" if self.image_features is None else self.image_features.source,
            "features_dtype": getattr(self.image_features, "dtype", None),
            "skipped": self.skipped,
            **({"splits": rule} if (rule := getattr(self.benchmark, "split_rule", None)) else {}),
        }

    def _check_splits(self, stage: str) -> None:
        config, name = self.config, self.benchmark.name
        if stage == "fit":
            if not any(self.examples("train").values()):
                raise ValueError(
                    f"split train of {name} has 0 examples: at least 1 is needed. Get the complete data."
                )
            check_captioned(config.evaluate.captioned, self.examples("train").get("caption", ()), name)
            self._check_limit("val", config.train.val_limit, "train.val_limit", scores_only=True)
            self._check_limit("test", config.evaluate.limit, "evaluate.limit")
            if config.evaluate.shuffled and self.backbones.sees == "image":
                another_image(self.num_images("test"))  # raises if there is only one
        elif stage == "test":
            for split in self.splits:
                self._check_limit(split, config.evaluate.limit, "evaluate.limit")

    def _check_limit(
        self, split: str, limit: Mapping[str, int | None], key: str, *, scores_only: bool = False
    ) -> None:
        names = {"benchmark": self.benchmark.name, "split": split}
        left_out = self.skipped["examples"].get(split, 0)
        limited = self.limited_examples(split, limit, whole_groups=not scores_only)
        check_limit(self.examples(split), limited, limit, key=key, left_out=left_out, **names)
        check_metrics(limited, self.benchmark.metrics(), scores_only=scores_only, **names)

    def _encode_images(self) -> None:
        """Encode all images, and leave out the examples of broken ones if `data.on_error=skip`."""
        of_split = {split: self._images(split) for split in self._examples}
        images = list(itertools.chain.from_iterable(of_split.values()))
        if not skips(self.config):  # all at once, and also for a bridge that reads no image
            refuse_broken(missing(images), len(images))
        if self.backbones.sees == "image":
            with explain_full_gpu(": the ViT with its images does not fit", SMALLER_VIT):
                vision = self.backbones.vision.to(self.backbones.device)
                self.image_features = image_features(self.config, vision, images)
            broken = self.image_features.left_out
        else:
            broken = broken_images(self.config, images)
        self.skipped["images"] = broken
        refuse_too_many(broken, of_split, self.config.data.get("max_skipped", MAX_SKIPPED))
        for split, kinds in self._examples.items():
            before = sum(map(len, kinds.values()))
            for kind, examples in kinds.items():
                kinds[kind] = [e for e in examples if broken.keys().isdisjoint(e.images)]
            self.skipped["examples"][split] = before - sum(map(len, kinds.values()))
        if broken:
            log.warning(
                "left out for broken images: %s examples\n%s",
                ", ".join(f"{number} {split}" for split, number in self.skipped["examples"].items()),
                "\n".join(f"  {path} {problem}" for path, problem in broken.items()),
            )

    def _images(self, split: str) -> list[str]:
        """Return the images of a split, each once; a feature's row is its place here."""
        examples = itertools.chain.from_iterable(self._examples[split].values())
        return list(dict.fromkeys(path for e in examples for path in e.images))

    def _feature_lookup(self, split: str, images: list[str]) -> Callable:
        if self.image_features is not None:
            return self.image_features.subset(images).get
        if self.backbones.sees != "words":
            return lambda rows: torch.zeros(len(rows), 1, 1)
        examples = itertools.chain.from_iterable(self._examples[split].values())
        patch_like = self.config.bridge.get("form") == "patch_like"
        scenes = scene_words(examples, images, self.benchmark.name, patch_like=patch_like)
        with torch.no_grad():
            embedded = self.backbones.text.embed_words(scenes)
        return lambda rows: embedded[torch.as_tensor(rows)]
