"""`bridgelab train`: one run from a config to its record. What is heavy is imported when a run begins."""

import hashlib
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from bridgelab.train.claim import claim, config_hash

if TYPE_CHECKING:
    from bridgelab.data.batches import Prepared, TrainingBatches
    from bridgelab.model import BridgedModel

ROOT = Path(os.environ.setdefault("BRIDGELAB_ROOT", str(Path(__file__).resolve().parents[3])))
LONGEST_NAME = 200
COSTED = 16  # examples on which FLOPs are counted: the same for every bridge, so padded alike
POOLS = ("answer", "caption", "simple_caption")  # what stages may draw from
PACKAGES = ("bridgelab.", "torch.optim.", "pytorch_lightning.")
log = logging.getLogger(__name__)


def run_name(overrides: str) -> str:
    """A run's folder from its overrides: one level deep, within the 255 bytes of a file name."""
    name = overrides.replace("/", "_") or "defaults"  # else it would be given the study's own folder
    if len(name.encode()) > LONGEST_NAME:
        name = name[: LONGEST_NAME // 4] + "..." + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name


OmegaConf.register_new_resolver("run_name", run_name, replace=True)


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="train")
def main(config: DictConfig) -> None:
    """One run; a failure is logged here, since Hydra tells of it only when a sweep has ended."""
    job = HydraConfig.get()
    directory = Path(job.runtime.output_dir)
    try:
        own = not config.bridge._target_.startswith(PACKAGES)  # then the yaml's name would be another's
        name = config.bridge._target_ if own else job.runtime.choices["bridge"]
        run(config, directory, bridge=str(name))
    except Exception:
        log.exception("%s failed", directory)
        raise


def target(config: DictConfig) -> Any:
    """The class that a config names by `_target_`: one of `PACKAGES`, or a bridge of the user's own.

    Raises:
        ValueError: if it is neither.
    """
    name = config._target_
    if name.startswith(PACKAGES):
        return hydra.utils.get_object(name)
    from torch import nn

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where a user's own file lies
    try:
        found = hydra.utils.get_object(name)
    except Exception as error:
        raise ValueError(
            f"_target_: {name} could not be imported ({' '.join(str(error.__cause__ or error).split())}). Name a class of a file in the current folder, as "
            "my_module.MyBridge, or of an installed package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(
            f"_target_: {name} may not be built: a config names classes of {', '.join(PACKAGES)}, or a "
            "torch.nn.Module of your own for a bridge."
        )
    return found


def _named_inside(node: Any) -> Iterator[str]:
    """What Hydra would build on the way to the node's own object, at any depth."""
    children = node.values() if isinstance(node, DictConfig) else node if isinstance(node, ListConfig) else ()
    for child in children:
        if isinstance(child, DictConfig) and "_target_" in child:
            yield str(child._target_)
        yield from _named_inside(child)


def build(config: DictConfig, *args: Any, **kwargs: Any) -> Any:
    """Make the object that a config names.

    Raises:
        ValueError: if configs may not name it, or as it says itself.
    """
    target(config)
    for name in _named_inside(config):
        if not name.startswith(PACKAGES):
            raise ValueError(
                f"_target_: {name} may not be built: what stands inside of another is of {', '.join(PACKAGES)}. Leave it out."
            )
    try:
        return hydra.utils.instantiate(config, *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None  # what the class itself says: value, rule, fix
        raise


def run(config: DictConfig, directory: Path, *, bridge: str) -> None:
    """Train and evaluate one bridge; the record stands in `directory` when this returns.

    Args:
        config: as `conf/train.yaml` composes it.
        directory: the run's own.
        bridge: its name in `conf/bridge/`.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    began = time.monotonic()
    if claim(directory, config):
        log.info("%s is finished: metrics.json stands, nothing to do", directory)
        return
    log.info("config of %s\n%s", directory, OmegaConf.to_yaml(config, resolve=True))

    import torch
    from pytorch_lightning.loggers import Logger

    from bridgelab.train.costs import measure_costs
    from bridgelab.train.evaluate import evaluate
    from bridgelab.train.record import (
        is_flat,
        provenance,
        repeat_untrained,
        write_json,
        write_predictions,
    )

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    on_gpu = config.trainer.accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    setting = Setting(config, torch.device("cuda" if on_gpu else "cpu"))
    identity = {**setting.fingerprints, "config": config_hash(config)}

    tuned: dict[str, Any] = {"lr": None, "warmup": None, "tuned_over": []}
    model = setting.model(config.seed)
    trains = any(p.requires_grad for p in model.parameters())
    curve: list[tuple[int, float]] = []
    seconds = 0.0
    counts: dict[str, int] = {}
    if not trains and repeat_untrained(directory, config, setting.fingerprints):
        log.info("nothing is trained: another seed's record says the same")
        return
    if trains:
        tuned = setting.tune(directory)
        log.info("learning rate %g, warm-up %g", tuned["lr"], tuned["warmup"])
        batches = setting.batches(config.train.steps, config.data_seed)
        counts = batches.sampler.counts()
        setting.calibrate(model, batches)
        loggers: list[Logger] = [build(config.logger.csv, directory=directory)]
        if "wandb" in config.logger:
            loggers.append(build(config.logger.wandb, **wandb_identity(directory)))
        try:
            curve, seconds = setting.fit(
                model,
                batches,
                lr=tuned["lr"],
                warmup=tuned["warmup"],
                identity=identity,
                validate=setting.validate,
                points=config.train.val_points,
                directory=directory,
                loggers=loggers,
                save_every=config.train.save_every,
                log_every=config.train.log_every,
                label=directory.name,
                terminal=sys.stderr.isatty(),
            )
        finally:
            if "wandb" in config.logger:
                import wandb

                wandb.finish()
        if torch.distributed.is_initialized():
            rank = torch.distributed.get_rank()
            torch.distributed.destroy_process_group()  # a metric would wait for the others to join in
            if rank:
                return  # the first process evaluates and writes
    model.to(setting.device).eval()

    limit = config.evaluate.limit
    tests = setting.prepared("test", limit)
    rows, metrics = evaluate(
        model,
        tests,
        setting.benchmark.metrics(),
        setting.train_examples,
        batch_size=config.evaluate.batch_size,
        shuffled=config.evaluate.shuffled and model.sees == "image",
        images=setting.images_of("test"),
        to_caption=setting.to_caption(tests) if model.sees == "image" else None,
        progress=every_tenth("evaluating"),
    )
    after = {name: side.fingerprint for name, side in setting.sides.items()}
    before = {name: setting.fingerprints[name] for name in after}
    if after != before:
        raise RuntimeError(
            f"fingerprints were {before}, and are {after} after training: what is frozen has changed."
        )
    some = next(iter(tests.values()))
    costs = measure_costs(model, some.batch(list(range(min(len(some), COSTED)))))
    write_predictions(directory / "predictions.parquet", rows)
    content = {
        "study": config.study,
        "overrides": directory.name,
        "bridge": bridge,
        "sees": model.sees,
        "conditioning": model.conditioning,
        "insert": config.model.insert,
        "positions": config.model.positions,
        "benchmark": setting.benchmark.name,
        "seed": config.seed,
        "data_seed": config.data_seed,
        "lr": tuned["lr"],
        "warmup": tuned["warmup"],
        "tuned_over": tuned["tuned_over"],
        "tuning": {key: tuned[key] for key in ("at_edge", "trials") if key in tuned},
        "steps": config.train.steps if trains else 0,
        "examples_seen": config.train.steps * config.train.batch_size if trains else 0,
        "mixture": {name: number * config.train.batch_size for name, number in counts.items()},
        "precision": model.precision,
        "fingerprints": setting.fingerprints,
        "config_hash": config_hash(config),
        **provenance(ROOT),
        "costs": {**costs, "train_seconds": seconds, "wall_seconds": time.monotonic() - began},
        "curve": curve,
        "flat": is_flat(curve) if trains else True,
        "metrics": metrics,
    }
    write_json(directory / "metrics.json", content)
    for name, value in metrics.items():
        if "=" not in name:
            log.info("%s %.4f", name, value)


class Setting:
    """All that stands around a bridge: both frozen sides, the benchmark, examples made ready; built once."""

    def __init__(self, config: DictConfig, device: Any):
        import torch

        self.config, self.device = config, torch.device(device)
        self.sees = getattr(target(config.bridge), "sees", "image")
        self.text = build(config.text)
        # The blind floor needs no encoder, and spares the seconds of loading one.
        self.vision: Any = None if self.sees == "nothing" else build(config.vision)
        self.benchmark = build(config.benchmark)
        self.sides = {"text": self.text} | ({"vision": self.vision} if self.vision is not None else {})
        self.fingerprints = {name: side.fingerprint for name, side in self.sides.items()}
        self.vision_dim = {"image": getattr(self.vision, "dim", 1), "words": self.text.dim, "nothing": 1}[
            self.sees
        ]
        self.mean: torch.Tensor | None = None
        self.std: torch.Tensor | None = None
        self._stores: dict[str, tuple[dict[str, int], Callable]] = {}
        self._examples: dict[tuple[str, str], list] = {}
        self.train_examples = {kind: self.examples("train", kind) for kind in self.benchmark.kinds}
        self._check_captioned()
        # A bridge that can't be built says so before features are made.
        self.conditioning = self.model(0).conditioning
        self.pools = self._pools()
        self.val = self.prepared("val", config.train.val_limit)
        self.fingerprints["data"] = self.data_fingerprint()

    def examples(self, split: str, kind: str) -> list:
        """A split's examples of one kind, read once."""
        if (split, kind) not in self._examples:
            self._examples[split, kind] = self.benchmark.examples(split, kind)
        return self._examples[split, kind]

    def features(self, split: str) -> tuple[dict[str, int], Callable]:
        """The row of each image of a split, and what looks rows up; made once."""
        import torch

        from bridgelab.data.features import FeatureStore
        from bridgelab.world.layout import patch_like

        if split in self._stores:
            return self._stores[split]
        examples = [e for kind in self.benchmark.kinds for e in self.examples(split, kind)]
        images = list(dict.fromkeys(path for e in examples for path in e.images))
        row_of = {path: row for row, path in enumerate(images)}
        if self.sees == "image":
            self.vision.to(self.device)
            store = FeatureStore(Path(self.config.paths.features), self.vision, images)
            if split == "train":
                self.mean, self.std = store.mean, store.std
            look_up: Callable = store.get
        elif self.sees == "words":
            scenes = {e.images[0]: e.words for e in examples if e.words is not None}
            if len(scenes) < len(images):
                raise ValueError(
                    f"benchmark {self.benchmark.name} has images without their scene in words, which "
                    "bridge=words reads. Choose a benchmark with annotated scenes, such as benchmark=world."
                )
            if self.config.bridge.get("form") == "patch_like":
                scenes = {path: patch_like(words) for path, words in scenes.items()}
            with torch.no_grad():
                embedded = self.text.embed_words([scenes[path] for path in images])

            def look_up(rows: Any) -> Any:
                return embedded[torch.as_tensor(rows)]
        else:

            def look_up(rows: Any) -> Any:
                return torch.zeros(len(rows), 1, 1)

        self._stores[split] = (row_of, look_up)
        return self._stores[split]

    def images_of(self, split: str) -> int:
        """How many images a split has."""
        return len(self.features(split)[0])

    def _pools(self) -> dict[str, "Prepared"]:
        from bridgelab.data.batches import Prepared

        stages = self.config.train.stages
        drawn = {name for stage in stages for name, weight in stage.items() if weight and name != "share"}
        if unknown := drawn - set(POOLS):
            raise ValueError(
                f"train.stages draws from {', '.join(sorted(unknown))}: must be of {', '.join(POOLS)}. Correct the name."
            )
        row_of, look_up = self.features("train")
        pools: dict[str, list] = {}
        for kind, examples in self.train_examples.items():
            pools.setdefault("caption" if kind == "caption" else "answer", []).extend(examples)
        # Which word belongs to what is found out on few objects first: with ten, every guess is as good.
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
            name: Prepared(pool, self.text, row_of, look_up, self.conditioning)
            for name, pool in pools.items()
            if name in drawn and pool
        }

    def prepared(self, split: str, limit: DictConfig | dict[str, int | None]) -> dict[str, "Prepared"]:
        """A split's examples by kind; of each at most as many as `limit` says, spread over all."""
        from bridgelab.data.batches import Prepared
        from bridgelab.data.sampler import spread

        row_of, look_up = self.features(split)
        made = {}
        for kind in self.benchmark.kinds:
            examples = self.examples(split, kind)
            most = limit.get("caption" if kind == "caption" else "answer")
            if most is not None:
                examples = [examples[k] for k in spread(len(examples), most)]
            if examples:
                made[kind] = Prepared(examples, self.text, row_of, look_up, self.conditioning)
        return made

    def _check_captioned(self) -> None:
        prompt = self.config.evaluate.captioned
        known = {e.prompt for e in self.train_examples.get("caption", ())}
        if prompt is not None and prompt not in known:
            raise ValueError(
                f"evaluate.captioned={prompt!r}: must be one of the prompts that captions of {self.benchmark.name} are "
                f"trained with ({', '.join(sorted(known)) or 'none'}), or null."
            )

    def to_caption(self, tests: dict[str, "Prepared"]) -> "Prepared | None":
        """An example for each image that is asked about, with the prompt `evaluate.captioned`; None where that is null."""
        from bridgelab.benchmark.example import Example
        from bridgelab.data.batches import Prepared

        prompt = self.config.evaluate.captioned
        if prompt is None:
            return None
        longest = max((e.answers[0] for e in self.train_examples["caption"]), key=len)  # room to say as much
        asked = {e.images for kind, made in tests.items() if kind != "caption" for e in made.examples}
        row_of, look_up = self.features("test")
        examples = [
            Example(f"caption {k}", images, prompt, (longest,), "caption")
            for k, images in enumerate(sorted(asked))
        ]
        return Prepared(examples, self.text, row_of, look_up, self.conditioning)

    @property
    def patches(self) -> int:
        """How many patches an example has."""
        rows, columns = self.vision.grid
        images = next(len(e.images) for examples in self.train_examples.values() for e in examples)
        return images * (rows * columns + self.vision.cls)

    def data_fingerprint(self) -> str:
        """A hash of all that is asked in training and on val."""
        parts = [made.digest() for group in (self.pools, self.val) for _, made in sorted(group.items())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def model(self, seed: int) -> "BridgedModel":
        """A bridge with this init, between both sides."""
        import inspect

        import torch

        from bridgelab.bridge.budget import with_parameters, with_tokens
        from bridgelab.bridge.convert import load_bridge, read_weights
        from bridgelab.model import BridgedModel, autocast_pays

        config = self.config
        precision = config.train.precision
        if precision == "auto":
            precision = "bf16" if autocast_pays(self.device) else "fp32"
        torch.manual_seed(seed)
        kind = target(config.bridge)
        choices: Any = OmegaConf.to_container(config.bridge, resolve=True)
        choices = {key: value for key, value in choices.items() if key not in ("_target_", "init_from")}
        if "grid" in inspect.signature(kind).parameters and self.vision is not None:
            choices["grid"] = self.vision.grid
        tokens, parameters = config.budget.tokens, config.budget.params
        if tokens is not None and choices.get("num_tokens") != 0:  # plain words have no prompt to match
            choices = with_tokens(choices, tokens, getattr(self.vision, "grid", (1, 1)), kind.__name__)
        if parameters is not None and self.sees == "image":
            choices = with_parameters(
                kind, choices, parameters, (self.vision_dim, self.text.dim), kind.__name__
            )
        bridge = kind(self.vision_dim, self.text.dim, **choices)
        if config.bridge.get("init_from"):
            load_bridge(bridge, read_weights(config.bridge.init_from), log.info)
        model = BridgedModel(
            bridge,
            self.text,
            mean=self.mean,
            std=self.std,
            precision=precision,
            insert=config.model.insert,
            positions=(self.patches, self.vision_dim)
            if config.model.positions and self.sees == "image"
            else None,
        )
        return model.to(self.device)

    def batches(self, steps: int, data_seed: int) -> "TrainingBatches":
        """Training batches in the order of a data seed."""
        from bridgelab.data.batches import TrainingBatches
        from bridgelab.data.sampler import MixtureSampler

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

    def calibrate(self, model: "BridgedModel", batches: "TrainingBatches") -> None:
        """Give the bridge its scale, from the first batch of the order, and look at how it starts."""
        from bridgelab.train.evaluate import on_device
        from bridgelab.train.start import check_start

        first = batches.sampler.batch(0)
        batch = on_device(self.pools[first.pool].batch(first.rows), model)
        model.calibrate(batch)
        check_start(model, batch)

    def fit(
        self,
        model: "BridgedModel",
        batches: "TrainingBatches",
        *,
        lr: float,
        warmup: float | None = None,
        alone: bool = False,
        **kwargs: Any,
    ):
        """Train; `alone` in this process, whatever the trainer's devices; without `warmup` the schedule's own."""
        import functools

        from pytorch_lightning.plugins.environments import LightningEnvironment

        from bridgelab.train.loop import fit

        trainer = build(self.config.trainer)
        if alone:
            trainer = functools.partial(
                trainer, devices=1, num_nodes=1, strategy="auto", plugins=[LightningEnvironment()]
            )
        optimizer = functools.partial(build(self.config.optim), lr=lr)
        schedule: dict[str, Any] = dict(self.config.train.schedule)
        return fit(
            model,
            batches,
            trainer=trainer,
            optimizer=optimizer,
            schedule=schedule | ({} if warmup is None else {"warmup": warmup}),
            **kwargs,
        )

    def validate(self, model: "BridgedModel") -> dict[str, float]:
        """Accuracy and loss on short answers of val."""
        from bridgelab.train.evaluate import predict

        size = self.config.evaluate.batch_size
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
        from bridgelab.train.tune import search

        config = self.config
        if config.train.lr is not None:
            given = float(config.train.lr)
            return {"lr": given, "warmup": config.train.schedule.warmup, "tuned_over": [given]}
        own = OmegaConf.masked_copy(
            config, [str(k) for k in config if k not in ("seed", "data_seed", "evaluate")]
        )
        parts = [p for p in directory.name.split(",") if not p.startswith(("seed=", "data_seed="))]

        def trial(rate: float, warmup: float) -> dict[str, float]:
            from bridgelab.train.evaluate import mean_loss

            model = self.model(config.tune.seed)
            batches = self.batches(config.tune.steps, config.tune.seed)
            self.calibrate(model, batches)
            self.fit(
                model,
                batches,
                lr=rate,
                warmup=warmup,
                alone=True,
                identity={},
                validate=None,
                label=f"{directory.name}, lr={rate:g}, warmup={warmup:g}",
            )
            model.to(self.device)
            last = config.train.stages[-1]
            weights = {kind: last.get("caption" if kind == "caption" else "answer", 0) for kind in self.val}
            size = config.evaluate.batch_size
            losses = {
                kind: mean_loss(model, made, range(len(made)), batch_size=size)
                for kind, made in self.val.items()
                if weights[kind]
            }
            total = sum(weights[kind] * loss for kind, loss in losses.items()) / sum(
                weights[k] for k in losses
            )
            total = total if math.isfinite(total) else math.inf
            return {"val/loss": total} | {f"val/loss_{kind}": loss for kind, loss in losses.items()}

        return search(
            directory.parent / "tune" / (",".join(parts) or "defaults"),
            list(config.tune.lrs),
            trial,
            warmup=float(config.train.schedule.warmup),
            warmups=list(config.tune.warmups),
            extend=config.tune.extend,
            config_hash=config_hash(own),
        )


def wandb_identity(directory: Path) -> dict[str, Any]:
    """A W&B run's name and id, the same whenever the run is resumed."""
    name = f"{directory.parent.name}/{directory.name}"
    return {
        "name": directory.name,
        "group": directory.parent.name,
        "id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "save_dir": str(directory),
    }


def every_tenth(label: str) -> Callable[[str, int, int], None]:
    """Progress as log lines, with the time left."""
    began: dict[str, float] = {}

    def say(what: str, done: int, of: int) -> None:
        start = began.setdefault(what, time.monotonic())
        tenth = max(1, of // 4)
        if done == of or done // tenth != (done - 1) // tenth:
            spent = time.monotonic() - start
            log.info(
                "%s: %s, %d of %d, %.0f s left", label, what, done, of, spent / max(done, 1) * (of - done)
            )

    return say


if __name__ == "__main__":
    main()
