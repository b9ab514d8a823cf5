"""Everything around the Q-Former in an alignment: its backbones, captions and training."""

import functools
import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from bridgelab.alignment.captions import Captions, one_caption_each
from bridgelab.alignment.model import Alignment
from bridgelab.alignment.retrieval import evaluate
from bridgelab.alignment.tokenizer import TokenizerOnly
from bridgelab.alignment.weights import begin_from
from bridgelab.backbones import Backbones
from bridgelab.benchmark.example import Example
from bridgelab.bridge.qformer import QFormer
from bridgelab.config.instantiate import bridge_choices, build, target
from bridgelab.data.batches import TrainingBatches
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.data.pools import warn_of_unknown_words
from bridgelab.data.sampler import MixtureSampler, stratified_indices
from bridgelab.model import bf16_is_fast
from bridgelab.runs.identity import config_hash
from bridgelab.runs.initial_weights import INIT_FROM, initial_file
from bridgelab.training.fit import Fitted, Outputs, fit
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.training.loggers.csv_logger import MetricsCsv
from bridgelab.training.lr_schedule import lr_schedule
from bridgelab.training.trainer import check_batch, check_trainer, trainer_builder

KIND = "caption"
LOSSES = ("loss", "itc", "itm", "itg")
COLUMNS = (
    "step", "lr", *(f"train/{name}" for name in LOSSES), *(f"val/{name}" for name in LOSSES), "val/i2t_r1", "val/t2i_r1",
)  # fmt: skip
log = logging.getLogger(__name__)


class AlignmentExperiment:
    """Everything around the Q-Former in an alignment, each part built once.

    Args:
        config: as `conf/align.yaml` composes it.
        device: where the models go.
    Raises:
        ValueError: if a part of the config does not fit, before images are encoded.
    """

    def __init__(self, config: DictConfig, device: Any):
        self.config, self.device = config, torch.device(device)
        if not issubclass(target(config.bridge, "bridge"), QFormer):
            raise ValueError(
                f"bridge._target_={config.bridge._target_} has no first stage: only a Q-Former is aligned. Set bridge=qformer."
            )
        benchmark = build(config.benchmark, "benchmark")
        if KIND not in benchmark.kinds:
            raise ValueError(
                f"benchmark {benchmark.name} has examples of kind {', '.join(benchmark.kinds)}: alignment learns from captions. "
                "Set benchmark to one that has them: world, clevr, coco_captions or flickr30k."
            )
        processes = check_trainer(config.trainer)
        check_batch(config.trainer, config.train.batch_size, processes, least=2)  # pairs, to contrast
        text = TokenizerOnly(config.text.path)
        self.backbones = Backbones(_without_initial_weights(config), device, text)
        self.model = self._build_model(text)
        self.data = BenchmarkDataModule(self.backbones, splits=("train", "val"), kinds=(KIND,))
        self.data.setup("predict")
        self.train, self.val = self._captions("train"), self._captions("val")
        self.data.pools, self.data.val = {KIND: self.train}, {KIND: self.val}
        warn_of_unknown_words(self.data.pools, text)
        self.model.set_moments(**self.data.patch_moments("train"))
        self.model.to(self.device)
        self.fingerprints = {
            "vision": self.backbones.fingerprints["vision"],
            "tokenizer": text.fingerprint,
            "data": self.data.fingerprint(),
        }

    def fit(self, directory: Path) -> Fitted:
        """Train, resuming from the checkpoint in the run's folder if there is one."""
        train = self.config.train
        schedule: dict[str, Any] = dict(train.schedule)
        sampler = MixtureSampler(
            {KIND: self.train.target_lengths},
            [{KIND: 1.0}],
            steps=train.steps,
            batch_size=train.batch_size,
            seed=self.config.data_seed,
        )
        module = BridgeTraining(
            self.model,
            optimizer=functools.partial(build(self.config.optim, "optim"), lr=train.lr),
            schedule=lr_schedule(steps=train.steps, **schedule),
            identity={
                **self.fingerprints,
                **self.data.content(),
                "config": config_hash(self.config, training=True),
                **({INIT_FROM: start} if (start := initial_file(self.config)) else {}),
            },
            seed=self.config.seed,
        )
        outputs = Outputs(
            directory,
            loggers=[MetricsCsv(directory, COLUMNS)],
            save_every=train.save_every,
            log_every=train.log_every,
            validate=lambda model: evaluate(model, self.val, train.batch_size),
            points=train.val_points,
        )
        data = self.data.with_batches(TrainingBatches(sampler, dict(self.data.pools)))
        trainer = trainer_builder(self.config.trainer)
        return fit(
            module,
            data,
            trainer,
            outputs=outputs,
            label="aligning",
            progress_bar=True,
            memory_advice="train.batch_size lower (the contrast is over the whole batch) or train.precision=bf16",
        )

    def _build_model(self, text: TokenizerOnly) -> Alignment:
        config, vision = self.config, self.backbones.vision
        precision = config.train.precision
        if precision == "auto":
            precision = "bf16" if bf16_is_fast(self.device) else "fp32"
        torch.manual_seed(config.seed)
        choices = bridge_choices(config.bridge, vision.grid) | {"conditioning": "none"}
        bridge = target(config.bridge, "bridge")(vision.dim, text.dim, **choices)
        length = config.data.max_length.answer
        model = Alignment(
            bridge,
            vocabulary=text.vocabulary,
            max_length=length,
            embed_dim=config.embed_dim,
            precision=precision,
        )
        if config.bridge.init_from is not None:
            begin_from(model, config.bridge.init_from, text.fingerprint)
        return model

    def _captions(self, split: str) -> Captions:
        """Return a split's captions, one by one; of val those of `train.val_images` images."""
        examples = self.data.examples(split)[KIND]
        if split == "val":
            examples = _of_images(examples, self.config.train.val_images)
        row_of, features = self.data.feature_rows(split)
        max_length = {"answer": self.config.data.max_length.answer}
        captions = Captions(
            one_caption_each(examples), self.backbones.text, row_of, features, max_length=max_length
        )
        for line in captions.outliers:
            log.warning("%s: %s", split, line)
        images = {e.images for e in captions.examples}
        if len(images) < 2 or captions.images.shape[1] != 1:
            raise ValueError(
                f"split {split} of {self.data.benchmark.name} has {len(images)} images with captions, {captions.images.shape[1]} for each "
                "example: alignment needs two or more, one for each caption. Choose another benchmark, or get the complete data."
            )
        return captions


def _without_initial_weights(config: DictConfig) -> DictConfig:
    """Return the config without `bridge.init_from`, which means another stage to `Backbones`."""
    config = config.copy()
    config.bridge.init_from = None
    return config


def _of_images(examples: list[Example], most: int) -> list[Example]:
    """Return the examples of at most `most` images, spread over all."""
    images = list(dict.fromkeys(e.images for e in examples))
    chosen = {images[k] for k in stratified_indices(len(images), most)}
    return [e for e in examples if e.images in chosen]
