"""Everything around a bridge in a run: backbones, data, the trainer, validation."""

import functools
from typing import Any

import torch
from omegaconf import DictConfig

from bridgelab.backbones import Backbones
from bridgelab.config.instantiate import build, target
from bridgelab.data.batches import TrainingBatches
from bridgelab.data.datamodule import BenchmarkDataModule, build_benchmark
from bridgelab.evaluation.predict import mean_loss, on_device, predict
from bridgelab.model import BridgedModel
from bridgelab.out_of_memory import explain_full_evaluation, explain_full_training
from bridgelab.runs.identity import earlier_hash
from bridgelab.runs.own_code import own_code
from bridgelab.training.attempts import Attempts
from bridgelab.training.callbacks.count_steps import StepsFile
from bridgelab.training.compile import check_compiler, check_fixed_tokens, compile_step
from bridgelab.training.dropout import has_dropout, seed_dropout
from bridgelab.training.fit import WHOLE, Fitted, Span, fit
from bridgelab.training.input_check import with_seed
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.training.lr_schedule import lr_schedule
from bridgelab.training.start_check import check_start
from bridgelab.training.trainer import check_batch, check_trainer, trainer_builder


class Experiment:
    """Everything around a bridge in a run, each part built once.

    The constructor loads the backbones and reads no data: `set_up` does.

    Args:
        config: as `conf/train.yaml` composes it.
        device: where the models go.
    Raises:
        ValueError: if a part of the config does not fit, with what to change.

    Attributes:
        own_code: of a user-defined bridge, as this process has imported it; None for one of bridgelab's.
        attempts: at the run, this one among them; None if nothing is recorded.
        steps_file: where the steps of all trainings are counted; None for nowhere.
    """

    attempts: Attempts | None = None
    steps_file: StepsFile | None = None
    own_code: str | None
    patch_moments: dict[str, torch.Tensor]
    fingerprints: dict[str, str]
    content: dict[str, str]

    def __init__(self, config: DictConfig, device: Any):
        self.config, self.device = config, torch.device(device)
        self.own_code = own_code(config)
        self.processes = check_trainer(config.trainer)
        check_batch(config.trainer, config.train.batch_size, self.processes)
        if config.compile:
            check_fixed_tokens(target(config.bridge, "bridge"))
            check_compiler(self.device)
        benchmark = build_benchmark(config)  # before large models are read
        self.backbones = Backbones(config, device)
        if config.bridge.get("init_from"):
            self.backbones.model(config.seed)  # weights that do not fit say so before any data are read
        self.data = BenchmarkDataModule(self.backbones, benchmark=benchmark)

    @classmethod
    def set_up(cls, config: DictConfig, device: Any) -> "Experiment":
        """Return an experiment whose data are read, checked and encoded.

        Raises:
            ValueError: also if the data do not fit, see `BenchmarkDataModule.setup`.
        """
        experiment = cls(config, device)
        data = experiment.data
        data.setup("fit")
        experiment.patch_moments = data.patch_moments("train")
        experiment.fingerprints = {**experiment.backbones.fingerprints, "data": data.fingerprint()}
        experiment.content = data.content()
        return experiment

    def model(self, seed: int) -> BridgedModel:
        """Return the bridge that this seed initializes, between the backbones. It outputs all of its tokens."""
        # Trials are of tune.seed, and start as a run of that seed, whichever seed's run does them.
        init_from = with_seed(self.config, seed).bridge.get("init_from")
        images = self.data.images_per_example
        model = self.backbones.model(seed, images=images, init_from=init_from, **self.patch_moments)
        bridge: Any = model.bridge
        if hasattr(bridge, "limit_tokens"):  # `evaluate.tokens` is of the test split alone
            bridge.limit_tokens(None)
        return model

    def init_output_scale(self, model: BridgedModel, batches: TrainingBatches) -> None:
        """Set the bridge's output scale from the first batch, and check how it starts.

        The batch is taken in the micro-batches that a process trains on at a time, so that it fits where training does.

        Raises:
            ValueError: if a bridge that starts like this would waste the run.
            MemoryError: if a GPU's memory runs out.
        """
        micro_batches = self.processes * self.config.trainer.get("accumulate_grad_batches", 1)
        with explain_full_training(batches.sampler.batch_size):
            first = [on_device(one, model) for one in batches.first(micro_batches)]
            if has_dropout(model):  # else the scale would depend on what this process has drawn before
                seed_dropout(batches.sampler.seed)
            model.init_output_scale(*first)
            check_start(model, *first)

    def fit(
        self,
        model: BridgedModel,
        batches: TrainingBatches,
        *,
        lr: float,
        warmup: float | None = None,
        identity: dict[str, str] | None = None,
        span: Span = WHOLE,
        seed: int = 0,
        single_process: bool = False,
        **choices: Any,
    ) -> Fitted:
        """Train a bridge.

        Args:
            model: the bridge between the backbones, its output scale set.
            batches: training batches in their order.
            lr: peak learning rate.
            warmup: share of the steps; None for the schedule's own.
            identity: what a checkpoint must share to be resumed.
            span: the part of the schedule to train.
            seed: of dropout's masks.
            single_process: train in this process alone, whatever the trainer's devices.
            choices: `outputs`, `label` and `progress_bar` of `training.fit.fit`.
        """
        if self.config.compile:
            compile_step(model)
        schedule: dict[str, Any] = dict(self.config.train.schedule)
        if warmup is not None:
            schedule["warmup"] = warmup
        module = BridgeTraining(
            model,
            optimizer=functools.partial(build(self.config.optim, "optim"), lr=lr),
            schedule=lr_schedule(steps=len(batches.sampler), end=span.stop, **schedule),
            identity=identity or {},
            earlier=earlier_hash(self.config) if identity else None,
            seed=seed,
        )
        trainer = trainer_builder(
            self.config.trainer, single_process=single_process, processes=self.processes
        )
        data = self.data.with_batches(batches)
        return fit(module, data, trainer, span=span, steps_file=self.steps_file, **choices)

    def validate(self, model: BridgedModel) -> dict[str, float]:
        """Return accuracy and loss on the short answers of val that count, or only the loss if val has captions alone.

        Raises:
            MemoryError: if a GPU's memory runs out.
        """
        with explain_full_evaluation(self.config.evaluate.batch_size):
            return self._validate(model)

    def _validate(self, model: BridgedModel) -> dict[str, float]:
        size = self.config.evaluate.batch_size
        val = self.data.val
        if set(val) == {"caption"}:
            captions = val["caption"]
            return {"val/loss": mean_loss(model, captions, range(len(captions)), batch_size=size)}
        scores, losses = [], []
        metrics = self.data.benchmark.metrics()
        for kind, examples in val.items():
            if kind != "caption":
                counted = [k for k, example in enumerate(examples.examples) if metrics[kind].counts(example)]
                predictions = predict(model, examples, counted, batch_size=size)
                pairs = zip(predictions, counted, strict=True)
                scores += [metrics[kind].score(p.text, examples.examples[k]) for p, k in pairs]
                losses += [-p.likelihood for p in predictions]
        return {"val/accuracy": sum(scores) / len(scores), "val/loss": sum(losses) / len(losses)}
