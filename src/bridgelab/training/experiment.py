"""All that stands around a bridge in a run: both frozen sides, the benchmark, examples made ready."""

import functools
import hashlib
import logging
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from bridgelab.backbones import Backbones
from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples, TrainingBatches, unknown_answers
from bridgelab.data.datamodule import Material
from bridgelab.data.feature_source import SPLITS
from bridgelab.data.sampler import MixtureSampler
from bridgelab.evaluation.predict import another_image, mean_loss, on_device, predict
from bridgelab.model import BridgedModel
from bridgelab.runs.identity import config_hash
from bridgelab.training.budgets import branch_step, smaller
from bridgelab.training.compile import compile_step, refuse_without_compiler
from bridgelab.training.fit import fit
from bridgelab.training.lr_search import search
from bridgelab.training.start_check import check_start

POOLS = ("answer", "caption", "simple_caption")  # what stages may draw from
log = logging.getLogger(__name__)


class Experiment:
    """All that stands around a bridge: both frozen sides, the benchmark, examples made ready; built once."""

    def __init__(self, config: DictConfig, device: Any):
        self.config, self.device = config, torch.device(device)
        self._check_trainer()
        if config.compile:
            refuse_without_compiler(self.device)
        self.backbones = Backbones(config, device)
        self.text, self.sees = self.backbones.text, self.backbones.sees
        self.fingerprints = dict(self.backbones.fingerprints)
        self.material = Material(self.backbones, SPLITS)
        self.benchmark = self.material.benchmark
        self.standard: dict[str, torch.Tensor] = {}
        self._check_captioned()
        self._check_splits()
        # A bridge that can't be built says so before features are made.
        self.conditioning = self.model(0).conditioning
        self.material.make_features()
        if self.material.skipped["images"]:
            self._check_splits()
        self.standard = self.material.standard("train")
        self.pools = self._pools()
        self._tell_unknown()
        self.val = self.material.limited("val", config.train.val_limit, self.conditioning)
        self.fingerprints["data"] = self.data_fingerprint()

    @property
    def train_examples(self) -> dict[str, list[Example]]:
        """The training examples by kind."""
        return self.material.examples("train")

    def _pools(self) -> dict[str, TokenizedExamples]:
        stages = self.config.train.stages
        drawn = {name for stage in stages for name, weight in stage.items() if weight and name != "share"}
        if unknown := drawn - set(POOLS):
            raise ValueError(
                f"train.stages draws from {', '.join(sorted(unknown))}: must be of {', '.join(POOLS)}. Correct the name."
            )
        pools: dict[str, list] = {}
        for kind, examples in self.train_examples.items():
            pools.setdefault("caption" if kind == "caption" else "answer", []).extend(examples)
        # Which word belongs to what is found out on few objects: with ten, every guess is as good.
        most = self.config.train.simple_objects
        pools["simple_caption"] = [
            e for e in pools.get("caption", ()) if int(e.tags.get("objects", most + 1)) <= most
        ]
        if lacking := sorted(name for name in drawn if not pools.get(name)):
            log.warning(
                "%s has no training examples for %s: their weights in train.stages go to the rest",
                self.benchmark.name,
                ", ".join(lacking),
            )
        return {
            name: self.material.prepared("train", pool, self.conditioning)
            for name, pool in pools.items()
            if name in drawn and pool
        }

    def _tell_unknown(self) -> None:
        # By identity: a simple caption is in two pools.
        trained = {id(e): e for pool in self.pools.values() for e in pool.examples}
        number, words = unknown_answers(trained.values(), self.text)
        if number:
            log.warning(
                "%d of %d training answers and captions hold words that the T5 does not know, and can't be learned: %s",
                number,
                len(trained),
                ", ".join(map(repr, words[:5])) + ", …" * (len(words) > 5),
            )

    def tests(self) -> dict[str, TokenizedExamples]:
        """The test's examples by kind, within `evaluate.limit`."""
        return self.material.limited("test", self.config.evaluate.limit, self.conditioning, groups=True)

    def _check_splits(self) -> None:
        config = self.config
        if not any(self.train_examples.values()):
            raise ValueError(
                f"split train of {self.benchmark.name} has 0 examples: at least 1 is needed. Get the data whole."
            )
        self.material.check("val", config.train.val_limit, "train.val_limit", alone=True)
        self.material.check("test", config.evaluate.limit, "evaluate.limit")
        if config.evaluate.shuffled and self.sees == "image":
            another_image(self.material.images_of("test"))  # which refuses a single one

    def _check_captioned(self) -> None:
        prompt = self.config.evaluate.captioned
        known = {e.prompt for e in self.train_examples.get("caption", ())}
        if prompt is not None and prompt not in known:
            raise ValueError(
                f"evaluate.captioned={prompt!r}: must be one of the prompts that captions of {self.benchmark.name} are "
                f"trained with ({', '.join(sorted(known)) or 'none'}), or null."
            )

    def to_caption(self, tests: dict[str, TokenizedExamples]) -> TokenizedExamples | None:
        """An example for each image that is asked about, with the prompt `evaluate.captioned`; None where that is null."""
        prompt = self.config.evaluate.captioned
        if prompt is None:
            return None
        longest = max((e.answers[0] for e in self.train_examples["caption"]), key=len)  # room to say as much
        asked = {e.images for kind, made in tests.items() if kind != "caption" for e in made.examples}
        examples = [
            Example(f"caption {k}", images, prompt, (longest,), "caption")
            for k, images in enumerate(sorted(asked))
        ]
        return self.material.prepared("test", examples, self.conditioning)

    def data_fingerprint(self) -> str:
        """A hash of all that is asked in training and on val."""
        parts = [made.digest() for group in (self.pools, self.val) for _, made in sorted(group.items())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def model(self, seed: int) -> BridgedModel:
        """A bridge with this init, between both sides."""
        images = next(len(e.images) for examples in self.train_examples.values() for e in examples)
        return self.backbones.model(seed, images=images, **self.standard)

    def batches(self, steps: int, data_seed: int) -> TrainingBatches:
        """Training batches in the order of a data seed."""
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

    def init_output_scale(self, model: BridgedModel, batches: TrainingBatches) -> None:
        """Give the bridge its scale, from the first batch of the order, and look at how it starts."""
        first = batches.sampler.batch(0)
        batch = on_device(self.pools[first.pool].batch(first.rows), model)
        model.init_output_scale(batch)
        check_start(model, batch)

    def _trainer(self) -> functools.partial:
        """The config's trainer, to be given the rest."""
        trainer = build(self.config.trainer, "trainer")
        if "SLURM_JOB_ID" in os.environ and SLURMEnvironment.detect():
            # its own requeuing would begin another kind of checkpoint
            return functools.partial(trainer, plugins=[SLURMEnvironment(auto_requeue=False)])
        return trainer

    def _check_trainer(self) -> None:
        """Make the trainer once: what Lightning refuses (no GPU, Slurm's tasks without srun) it refuses before the search.

        Raises:
            ValueError: with Lightning's reason.
        """
        try:
            self._trainer()(logger=False, enable_checkpointing=False, enable_progress_bar=False)
        except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"Lightning refuses this trainer: {error} Choose another trainer=NAME."
            ) from error

    def fit(
        self,
        model: BridgedModel,
        batches: TrainingBatches,
        *,
        lr: float,
        warmup: float | None = None,
        alone: bool = False,
        **kwargs: Any,
    ) -> tuple[list[tuple[int, float]], float]:
        """Train; `alone` in this process, whatever the trainer's devices; without `warmup` the schedule's own."""
        trainer = self._trainer()
        if alone:
            trainer = functools.partial(
                trainer, devices=1, num_nodes=1, strategy="auto", plugins=[LightningEnvironment()]
            )
        if self.config.compile:
            compile_step(model)
        optimizer = functools.partial(build(self.config.optim, "optim"), lr=lr)
        schedule: dict[str, Any] = dict(self.config.train.schedule)
        return fit(
            model,
            batches,
            trainer=trainer,
            optimizer=optimizer,
            schedule=schedule | ({} if warmup is None else {"warmup": warmup}),
            **kwargs,
        )

    def validate(self, model: BridgedModel) -> dict[str, float]:
        """Accuracy and loss on short answers of val; where it has captions alone, their loss."""
        size = self.config.evaluate.batch_size
        if set(self.val) == {"caption"}:
            captions = self.val["caption"]
            return {"val/loss": mean_loss(model, captions, range(len(captions)), batch_size=size)}
        right, lost = [], []
        metrics = self.benchmark.metrics()
        for kind, made in self.val.items():
            if kind != "caption":
                found = predict(model, made, range(len(made)), batch_size=size)
                pairs = zip(found, made.examples, strict=True)
                right += [metrics[kind].score(p.text, example) for p, example in pairs]
                lost += [-p.likelihood for p in found]
        return {"val/accuracy": sum(right) / len(right), "val/loss": sum(lost) / len(lost)}

    def tune(self, directory: Path) -> dict[str, Any]:
        """Learning rate and warm-up: as given, or the best of a search that all seeds of this bridge share."""
        config = self.config
        if config.train.lr is not None:
            given = float(config.train.lr)
            return {"lr": given, "warmup": config.train.schedule.warmup, "tuned_over": [given]}
        own = OmegaConf.masked_copy(
            config, [str(k) for k in config if k not in ("seed", "data_seed", "evaluate")]
        )
        # Not the folder's name, which is cut where it is long, and then differs from seed to seed.
        key = config_hash(own, training=True)

        def trial(rate: float, warmup: float) -> dict[str, float]:
            steps, label = config.tune.steps, f"lr={rate:g}, warmup={warmup:g}"
            train = functools.partial(
                self.fit, lr=rate, warmup=warmup, alone=True, identity={}, validate=None
            )

            def fresh() -> tuple[BridgedModel, TrainingBatches]:
                return self.model(config.tune.seed), self.batches(steps, config.tune.seed)

            model, batches = fresh()
            self.init_output_scale(model, batches)
            schedule = config.train.schedule
            constant = schedule.shape == "warmup_stable_decay" and warmup < 1 - schedule.decay
            halves = smaller(steps, [0.5], schedule.decay) if constant else []
            with tempfile.TemporaryDirectory() as folder:
                begins = {Path(folder) / f"{end}.ckpt": end for end in halves}
                branches = {path: branch_step(end, schedule.decay) for path, end in begins.items()}
                train(model, batches, label=label, branches=branches)
                found = losses(model)
                for begin, end in begins.items():
                    cooled, again = fresh()
                    train(cooled, again, label=f"{label}, {end} steps", end=end, begin=begin)
                    found |= {"half/steps": end, "half/val/loss": losses(cooled)["val/loss"]}
            return found

        def losses(model: BridgedModel) -> dict[str, float]:
            model.to(self.device)
            last = config.train.stages[-1]
            weights = {kind: last.get("caption" if kind == "caption" else "answer", 0) for kind in self.val}
            if not any(weights.values()):  # it draws from what val lacks: then from what it has
                weights = dict.fromkeys(self.val, 1)
            size = config.evaluate.batch_size
            of_kinds = {
                kind: mean_loss(model, made, range(len(made)), batch_size=size)
                for kind, made in self.val.items()
                if weights[kind]
            }
            total = sum(weights[kind] * loss for kind, loss in of_kinds.items()) / sum(
                weights[k] for k in of_kinds
            )
            total = total if math.isfinite(total) else math.inf
            return {"val/loss": total} | {f"val/loss_{kind}": loss for kind, loss in of_kinds.items()}

        return search(
            directory.parent / "tune" / f"{config.bridge._target_.rpartition('.')[2]}-{key}",
            list(config.tune.lrs),
            trial,
            warmup=float(config.train.schedule.warmup),
            warmups=list(config.tune.warmups),
            extend=config.tune.extend,
            config_hash=key,
        )
