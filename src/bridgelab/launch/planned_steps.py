"""The steps that a job will train, as its config says. Free of torch."""

from dataclasses import dataclass

from omegaconf import DictConfig

from bridgelab.runs.identity import search_key


@dataclass(frozen=True)
class Work:
    """The steps of a job.

    Args:
        search: names the search for a learning rate, which all seeds of a bridge share.
        trained: steps of the run and of its smaller budgets.
        searched: steps of the search, as long as no trial lies at an end of the grid.
    """

    search: str
    trained: float
    searched: float


def planned_work(config: DictConfig) -> Work:
    """Return the steps of a run.

    Args:
        config: as `conf/train.yaml` composes it.
    """
    train, tune = config.train, config.tune
    plain_words = config.bridge.get("num_tokens") == 0 and config.text.get("adapt", "none") == "none"
    steps = 0 if plain_words else train.steps  # they train nothing
    decay = train.schedule.get("decay", 0.2)
    branches = sum(decay * share * steps for share in train.budgets)
    searched = 0.0
    if train.lr is None and steps:
        half = 0.5 * decay * tune.steps if train.schedule.shape == "warmup_stable_decay" else 0.0
        trials = len(tune.lrs) + len(tune.warmups)
        if tune.finalists is None:
            searched = trials * (tune.steps + half)
        else:  # the rest of a finalist's steps follows from where its half branches off
            rest = tune.steps - 0.5 * (1 - decay) * tune.steps
            searched = trials * 0.5 * tune.steps + tune.finalists * rest
    return Work(search_key(config), steps + branches, searched)
