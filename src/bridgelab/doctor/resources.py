"""Disk, memory and hours of a run and of its sweep, predicted from its workload and from what a dry run measured."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.config.compose import Sweep
from bridgelab.device import trainer_device
from bridgelab.doctor.check import MISSING, NOTE, OK, Check, duration, size
from bridgelab.doctor.costs import Costs
from bridgelab.doctor.dry_run import DryRun, measure_costs
from bridgelab.doctor.features_on_disk import features_check, million_check, online, stored_share
from bridgelab.doctor.machine import memory_bytes, resident_bytes
from bridgelab.doctor.measurement import GROWTH
from bridgelab.doctor.model_availability import hub_has, text_check, vision_check
from bridgelab.doctor.random_models import text_config, tokenizer, tower
from bridgelab.doctor.workload import Evaluation, Sizes, Workload, read_workload
from bridgelab.launch.slots import slot_environments
from bridgelab.out_of_memory import PARTS
from bridgelab.report.table import format_si

USABLE = 0.9  # of a device's memory
# What to set if a phase of `Costs.phases` does not fit.
FEWER = {
    "a step": f"{PARTS}, a smaller T5",
    "an evaluation's batch": "a smaller evaluate.batch_size, a smaller T5",
    "encoding": "a smaller ViT, a smaller T5",
}


def tables(sweep: Sweep, sizes: Sizes) -> Iterator[tuple[str, Iterable[Check]]]:
    """Yield a run's tables, each with its title.

    Args:
        sweep: that would be run.
        sizes: numbers of images and examples by split, as given on the command line.
    """
    config = sweep.config
    announce("reading the data")
    workload = read_workload(config, tokenizer(str(config.text.path)), sizes)
    data = data_checks(config, config.hydra.runtime.choices.benchmark, workload)
    yield "models and data", [vision_check(config.vision), text_check(config.text), *data]
    yield "the run", run_checks(sweep, workload)


def announce(what: str) -> None:
    """Say on standard error what takes long, since a table is printed once all of it is known."""
    print(f"{what} …", file=sys.stderr, flush=True)


def data_checks(config: DictConfig, name: str, workload: Workload) -> Iterator[Check]:
    """Yield whether the data are here, and how many they are."""
    counts = ", ".join(
        f"{number:,} {what}" if number is not None else f"unknown number of {what}"
        for number, what in ((workload.images, "images"), (workload.examples, "training examples"))
    )
    if workload.problem is None:
        yield Check(OK, "data", f"{name}: {counts} ({workload.source})")
        return
    yield Check(MISSING, "data", f"{name}: {workload.problem}")
    if hub := config.benchmark.get("hub"):
        reachable, answer = hub_has(str(hub), ["README.md"], "dataset")
        yield Check(NOTE if reachable else MISSING, "data", f"{hub}: {answer}")
    yield Check(NOTE, "how much", f"{counts} ({workload.source})")


def run_checks(sweep: Sweep, workload: Workload) -> Iterator[Check]:
    """Dry-run the first job, and yield its disk, memory and hours."""
    config = OmegaConf.masked_copy(sweep.config, [str(key) for key in sweep.config if key != "hydra"])
    process = resident_bytes()
    device = trainer_device(config.trainer.accelerator)
    if device.type == "cpu" and config.trainer.accelerator in ("gpu", "cuda"):
        fix = "trainer=cpu, or run this where the GPU is"
        yield Check(MISSING, "GPU", "none that torch can use: what follows is of this CPU", fix)
    slots = use_slots(sweep, device)
    try:
        text, visual = text_config(str(config.text.path)), tower(config.vision)
    except ValueError as error:
        yield Check(MISSING, "size", str(error))
        return
    processes = _number(config.trainer.get("devices", 1)) * _number(config.trainer.get("num_nodes", 1))
    try:
        announce("building both models with random weights")
        dry_run = DryRun(
            config, device, text, visual, images=workload.images_per_example, processes=processes
        )
        workload = replace(workload, stored=stored_share(config, dry_run, workload))
        yield features_check(config, dry_run, workload)
        yield from million_check(config, dry_run, workload)
        where = "this CPU" if device.type == "cpu" else "the GPU"
        announce(
            f"measuring a training step, answers and encoding on {where}, which takes longer on a busy machine"
        )
        costs = measure_costs(dry_run, workload, process)
    except torch.OutOfMemoryError:
        yield Check(
            MISSING,
            "memory",
            f"the GPU's runs out at batches of {GROWTH} or fewer, so nothing is predicted",
            "a smaller T5 or ViT",
        )
        return
    yield memory_check(config, device, costs, sharing_memory(sweep, device, slots))
    yield from hours(sweep, Job(config, dry_run, workload, costs, trials_at_once(sweep, processes)), slots)


def use_slots(sweep: Sweep, device: torch.device) -> int:
    """Return how many jobs run at a time; on a CPU compute with as many threads as each job of the pool."""
    launcher = sweep.config.hydra.launcher
    if sweep.jobs == 1 or "slots" not in launcher:
        at_once = launcher.get("array_parallelism", 1)  # on Slurm, if its queue is empty
        return min(sweep.jobs, at_once or sweep.jobs)
    trainers = [sweep.config.trainer]
    environments = slot_environments(launcher.slots, launcher.gpus_per_job, launcher.threads, trainers)
    if device.type == "cpu":
        torch.set_num_threads(int(environments[0]["OMP_NUM_THREADS"]))
    return min(sweep.jobs, len(environments))


def sharing_memory(sweep: Sweep, device: torch.device, slots: int) -> int:
    """Return how many jobs share this device's memory: the pool's on a CPU. Slurm's are elsewhere, and a GPU has one."""
    return slots if device.type == "cpu" and "slots" in sweep.config.hydra.launcher else 1


def trials_at_once(sweep: Sweep, processes: int) -> int:
    """Return how many trials of its search a job does at once: a launcher that starts all processes lets each take one, as srun does.

    Lightning starts them at the training, after the search.
    """
    nodes, launcher = sweep.config.trainer.get("num_nodes", 1), sweep.config.hydra.launcher
    by_srun = nodes > 1 or (sweep.jobs > 1 and str(launcher._target_).endswith(".SlurmLauncher"))
    return processes if by_srun else 1


def _number(devices: Any) -> int:
    return devices if isinstance(devices, int) and devices > 0 else max(1, torch.cuda.device_count())


def memory_check(config: DictConfig, device: torch.device, costs: Costs, jobs: int = 1) -> Check:
    """Compare the memory at its peak of the jobs that share a device with the device's."""
    phase, phase_bytes = max(costs.phases.items(), key=lambda item: item[1])
    components = {
        "T5": costs.memory.text,
        "ViT": costs.memory.vision,
        "bridge and optimizer": costs.memory.trained,
        phase: phase_bytes,
        "Python": costs.process,
    }
    shares = ", ".join(f"{name} {size(number)}" for name, number in components.items() if number)
    if device.type == "cuda":
        free: float = torch.cuda.get_device_properties(device).total_memory
        if config.text.get("device_map"):
            free *= torch.cuda.device_count()
        where = "on the GPU" if torch.cuda.device_count() == 1 else "on a GPU"
    else:
        free, where = memory_bytes()[1] + costs.process, "free here"
    total = f"{size(jobs * costs.peak)} for {jobs} jobs at a time, each " * (jobs > 1) + size(costs.peak)
    detail = f"{total}: {shares}; {size(free)} {where}"
    fitting = int(USABLE * free / costs.peak)
    if fitting >= jobs:
        return Check(OK, "memory", detail)
    return Check(MISSING, "memory", detail, f"hydra.launcher.slots={fitting}" if fitting else FEWER[phase])


class Job:
    """Seconds of a run's parts, by what was measured.

    Args:
        config: of the run.
        dry_run: that was measured.
        workload: that the run goes through.
        costs: as measured.
        at_once: trials of the search.
    """

    def __init__(
        self, config: DictConfig, dry_run: DryRun, workload: Workload, costs: Costs, at_once: int = 1
    ):
        self.config, self.workload, self.costs, self.at_once = config, workload, costs, at_once
        self.processes = dry_run.processes
        self.trains, self.batch_size = bool(dry_run.trained and config.train.steps), dry_run.batch_size
        sees_image = dry_run.sees == "image"
        self.shuffled = bool(config.evaluate.shuffled and sees_image)
        self.captioned = config.evaluate.captioned is not None and sees_image
        # Seconds of an example whose features are not kept.
        self.online = workload.images_per_example * costs.image if online(config) else 0.0
        self.step = costs.step + self.batch_size * self.online  # of each process, with its share of a batch
        self.cool_downs = config.train.schedule.decay * sum(config.train.budgets)  # as a share of all steps
        self.training = config.train.steps * (1 + self.cool_downs) * self.step
        self.validations = config.train.val_points + len(config.train.budgets)
        self.encoding = (
            0.0 if online(config) else (workload.images or 0) * (1 - workload.stored) * costs.image
        )

    def views(self, kind: str) -> int:
        """Return in how many views a test example is answered: its image, another one, its caption."""
        return 1 + self.shuffled + (self.captioned and kind != "caption")

    def example(self, kind: str, evaluation: Evaluation) -> float:
        """Return the seconds of one example in one view."""
        costs = self.costs.answering[kind]
        if evaluation.choices:
            return costs.encode + evaluation.choices * costs.score + self.online
        return costs.encode + costs.generate + costs.score + self.online

    @property
    def trials(self) -> tuple[int, int]:
        """The least and the greatest number of trials in a search; none if the rate is set."""
        return self._rounds(1)

    def _rounds(self, at_once: int) -> tuple[int, int]:
        """Return how often trials are done at least and at most, so many at once: first rates, then each beyond, then warm-ups."""
        tune = self.config.tune
        if not self.trains or self.config.train.lr is not None:
            return 0, 0
        warmups = len(set(tune.warmups) - {self.config.train.schedule.warmup})
        least = -(-len(tune.lrs) // at_once) + -(-warmups // at_once)
        return least, least + tune.extend

    @property
    def halved(self) -> bool:
        """Whether a trial also cools down after half of its steps."""
        return self.config.train.schedule.shape == "warmup_stable_decay"

    @property
    def loss(self) -> float:
        """Seconds of the loss on val, which is of all kinds, and generates nothing."""
        seconds = 0.0
        for kind, evaluation in self.workload.val.items():
            costs = self.costs.answering[kind]
            seconds += evaluation.examples * (costs.encode + costs.score + self.online)
        return seconds

    @property
    def search(self) -> list[float]:
        """The least and the greatest seconds of a search, of which each trial is trained on one process with whole batches."""
        if not self.trials[1]:
            return [0.0, 0.0]
        loss, step = self.loss, self.processes * self.step  # the loss after a trial
        rounds = self._rounds(self.at_once)
        steps, finalists = self.config.tune.steps, self.config.tune.get("finalists")
        cool_down = 0.5 * self.config.train.schedule.decay * steps * self.halved
        if finalists is None:
            return [number * ((steps + cool_down) * step + (1 + self.halved) * loss) for number in rounds]
        half, rest = 0.5 * steps * step + loss, (0.5 * steps + cool_down) * step + loss
        last = [-(-min(number, finalists) // self.at_once) for number in self.trials]
        return [number * half + more * rest for number, more in zip(rounds, last, strict=True)]

    @property
    def validation(self) -> float:
        """Seconds of all validations, which generate no captions.

        Processes share the answers. Of captions alone the loss is computed, by each process for itself.
        """
        val = {kind: one for kind, one in self.workload.val.items() if kind != "caption"}
        if not val:
            return self.validations * self.loss
        answers = sum(one.examples * self.example(kind, one) for kind, one in val.items())
        return self.validations * answers / self.processes

    @property
    def evaluation(self) -> float:
        """Seconds of the evaluation on test, which processes share if they have met in training."""
        test = self.workload.test
        seconds = sum(self.views(kind) * one.examples * self.example(kind, one) for kind, one in test.items())
        if self.captioned and "caption" in test:
            seconds += self.workload.captioned * self.example("caption", test["caption"])
        return seconds / (self.processes if self.trains else 1)

    @property
    def seconds(self) -> float:
        """Seconds that each job of a sweep takes for itself."""
        return self.evaluation + (self.training + self.validation if self.trains else 0.0)


def hours(sweep: Sweep, job: Job, slots: int) -> Iterator[Check]:
    """Yield a line for each part of a job, for the job and for its sweep."""
    config, workload = sweep.config, job.workload
    if job.trains:
        yield from training_lines(config, job)
    if workload.test:
        counts = ", ".join(
            f"{one.examples:,} × {job.views(kind)} of {kind}" for kind, one in workload.test.items()
        )
        yield Check(OK, "evaluation", f"{duration(job.evaluation)}: {counts}")
    else:
        yield Check(NOTE, "evaluation", "unknown number of examples", "give examples=TRAIN+TEST")
    if job.costs.image and not online(config):
        if workload.images is None:
            detail = f"{duration(1000 * job.costs.image)} for 1,000 images"
            yield Check(NOTE, "encoding", detail, "give images=N")
        else:
            whole = "nothing, all features are stored already"
            part = f"{duration(job.encoding)}: once for all runs with this ViT"
            yield Check(OK, "encoding", part if job.encoding else whole)
    alone = [job.encoding + search + job.seconds for search in job.search]
    yield Check(OK, "one run", f"{_range(alone)} in all")
    if sweep.jobs > 1:  # which share encoding and searches, and take no less than one of them alone
        shared = [job.encoding + sweep.searches * search + sweep.jobs * job.seconds for search in job.search]
        totals = [max(one, several / slots) for one, several in zip(alone, shared, strict=True)]
        searches = f"{sweep.searches} search{'es' if sweep.searches != 1 else ''}"
        detail = f"{_range(totals)}: {sweep.jobs} jobs ({_swept(sweep)}), {searches}, {slots} at a time"
        yield Check(OK, "the sweep", f"{detail}, if each takes as long as the first")


def _swept(sweep: Sweep) -> str:
    """Return what a sweep varies: bridges first, seeds last."""
    order = sorted(sweep.values.items(), key=lambda item: (item[0] != "bridge", item[0] == "seed"))
    plural = {"bridge": "bridges", "seed": "seeds"}
    return " × ".join(
        f"1 {key}" if number == 1 else f"{number} {plural.get(key) or f'values of {key}'}"
        for key, number in order
    )


def training_lines(config: DictConfig, job: Job) -> Iterator[Check]:
    """Yield the lines on a step, training, the search of the learning rate and validation."""
    flops = format_si(job.costs.flops)
    yield Check(OK, "a step", f"{duration(job.step)} with {job.batch_size} examples; {flops}FLOP an example")
    detail = f"{duration(job.training)}: {config.train.steps:,} steps"
    if job.cool_downs:
        detail += f", and {job.cool_downs:.0%} of them for {len(config.train.budgets)} smaller budgets"
    yield Check(OK, "training", detail)
    least, most = job.trials
    if most:
        halves = ", and of half as many" * job.halved
        if finalists := config.tune.get("finalists"):
            halves = f", all but {finalists} of them stopped at half"
        detail = f"{_range(job.search)}: {least}–{most} trials of {config.tune.steps:,} steps{halves}"
        long = job.search[1] >= 2 * job.training
        fix = "train.lr=X leaves it out; tune.steps=N makes it shorter" if long else ""
        yield Check(OK, "tuning", f"{detail}, once for all seeds", fix)
    if job.workload.val:
        yield Check(OK, "validation", f"{duration(job.validation)}: {job.validations} times")


def _range(ends: Iterable[float]) -> str:
    low, high = map(duration, ends)
    return low if low == high else f"{low} to {high}"
