"""Checks of a benchmark's splits against a run's config, before images are encoded or anything is trained."""

import logging
from collections.abc import Mapping, Sequence

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.example_metric import ExampleMetric

log = logging.getLogger(__name__)


def check_captioned(prompt: str | None, captions: Sequence[Example], benchmark: str) -> None:
    """Check that `evaluate.captioned` is a prompt that captions are trained with.

    Args:
        prompt: `evaluate.captioned`; None if questions are not answered from captions.
        captions: of training.
        benchmark: its name, for messages.
    Raises:
        ValueError: if it is another prompt, with those that are known.
    """
    known = {e.prompt for e in captions}
    if prompt is not None and prompt not in known:
        raise ValueError(
            f"evaluate.captioned={prompt!r}: must be one of the prompts that captions of {benchmark} are "
            f"trained with ({', '.join(sorted(known)) or 'none'}), or null."
        )


def check_limit(
    examples: Mapping[str, Sequence[Example]],
    limited: Mapping[str, Sequence[Example]],
    limit: Mapping[str, int | None],
    *,
    benchmark: str,
    split: str,
    key: str,
    left_out: int,
) -> None:
    """Log how many examples of a split are used, and refuse a limit that leaves none.

    Args:
        examples: of the split, by kind.
        limited: those within the limit, by kind.
        limit: by kind.
        benchmark: its name.
        split: its name.
        key: of the limit in the config.
        left_out: the number of examples that were left out for broken images.
    Raises:
        ValueError: if no example is left.
    """
    if not limited:
        counts = ", ".join(f"{len(own)} of kind {kind}" for kind, own in examples.items()) or "none"
        raise ValueError(
            f"split {split} of {benchmark} gives 0 examples: it has {counts}"
            + (f", {left_out} were left out for broken images" if left_out else "")
            + f", and {key}={dict(limit)}. At least 1 is needed. Raise {key}, or get the complete data."
        )
    counts = ", ".join(f"{len(own):,} of {len(examples[kind]):,} {kind}" for kind, own in limited.items())
    log.info("%s, %s: %s examples", benchmark, split, counts)


def check_metrics(
    examples: Mapping[str, Sequence[Example]],
    metrics: Mapping[str, ExampleMetric],
    *,
    benchmark: str,
    split: str,
    scores_only: bool,
) -> None:
    """Check that each kind's metric means something on its examples, and log its cautions.

    Args:
        examples: by kind.
        metrics: of each kind.
        benchmark: its name.
        split: its name.
        scores_only: only single scores are used, as in validation, which leaves captions out.
    Raises:
        ValueError: if a metric refuses the examples.
    """
    for kind, own in examples.items():
        if scores_only and kind == "caption":
            continue
        try:
            caution = metrics[kind].check(own, scores_only=scores_only)
        except ValueError as error:
            raise ValueError(f"{benchmark}, {split}: {error}") from error
        if caution:
            log.warning("%s, %s: %s", benchmark, split, caution)
