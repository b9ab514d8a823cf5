"""Pools of training examples, from which the stages of `train.stages` draw."""

import logging
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples, Tokenizer, unknown_answers

POOLS = ("answer", "caption", "simple_caption")
log = logging.getLogger(__name__)


def training_pools(
    examples: Mapping[str, Sequence[Example]], config: DictConfig, benchmark: str
) -> dict[str, list[Example]]:
    """Return the examples of each pool that a stage draws from; a pool without examples is left out with a warning.

    Args:
        examples: of training, by kind.
        config: the run's `train` section, for `stages` and `simple_objects`.
        benchmark: its name, for messages.
    Raises:
        ValueError: if a stage draws from an unknown pool.
    """
    drawn = _drawn(config)
    if unknown := drawn - set(POOLS):
        raise ValueError(
            f"train.stages draws from {', '.join(sorted(unknown))}: must be of {', '.join(POOLS)}. Correct the name."
        )
    pools = sort_into_pools(examples, config)
    if lacking := sorted(drawn - set(pools)):
        log.warning(
            "%s has no training examples for %s: their weights in train.stages go to the rest",
            benchmark,
            ", ".join(lacking),
        )
    return pools


def sort_into_pools(
    examples: Mapping[str, Sequence[Example]], config: DictConfig
) -> dict[str, list[Example]]:
    """Return the examples of each pool that a stage draws from and that has any; see `training_pools`."""
    pools: dict[str, list[Example]] = {}
    for kind, of_kind in examples.items():
        pools.setdefault("caption" if kind == "caption" else "answer", []).extend(of_kind)
    # Which word means what can only be learned from few objects: with ten in an image, every guess is as good.
    most = config.simple_objects
    pools["simple_caption"] = [
        e
        for e in pools.get("caption", ())
        if isinstance(objects := e.tags.get("objects"), int) and objects <= most
    ]
    drawn = _drawn(config)
    return {name: pool for name, pool in pools.items() if name in drawn and pool}


def _drawn(config: DictConfig) -> set[str]:
    """Return the names of the pools that the stages draw from."""
    return {name for stage in config.stages for name, weight in stage.items() if weight and name != "share"}


def warn_of_unknown_words(pools: Mapping[str, TokenizedExamples], text: Tokenizer) -> None:
    """Log how many training targets hold words that the language model does not know."""
    targets = {id(e): e for pool in pools.values() for e in pool.examples}  # a simple caption is in two pools
    number, words = unknown_answers(targets.values(), text)
    if number:
        log.warning(
            "%d of %d training answers and captions hold words that the T5 does not know, and can't be learned: %s",
            number,
            len(targets),
            ", ".join(map(repr, words[:5])) + ", …" * (len(words) > 5),
        )
