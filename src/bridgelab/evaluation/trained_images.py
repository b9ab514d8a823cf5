"""Whether a bridge is tested on photographs of COCO that it was trained on, which two benchmarks may share."""

import logging
import re
from collections.abc import Iterable

from omegaconf import DictConfig

from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build

NUMBER = re.compile(r"(?<!\d)\d{12}(?=\.jpg$)")  # COCO_val2014_000000000042.jpg is 000000000042.jpg of 2017
log = logging.getLogger(__name__)


def warn_of_trained_images(trained: DictConfig, tests: Iterable[Example]) -> None:
    """Warn if images of tests have COCO's numbers of images that a run was trained on.

    Args:
        trained: the run's own `benchmark`. One of the hub has no such names, and that of another package is not read.
        tests: examples of the evaluated split.
    """
    shown, target = _numbers(tests), str(trained.get("_target_"))
    drawn = target.startswith("bridgelab.benchmark.world.")  # it would be drawn if it is not there
    if not shown or trained.get("hub") or drawn or not target.startswith("bridgelab."):
        return
    try:
        benchmark = build(trained, "benchmark")
        kinds = benchmark.kinds if "train" in benchmark.splits else ()
        common = shown & _numbers(e for kind in kinds for e in benchmark.examples("train", kind))
    except (OSError, ValueError) as error:
        log.warning("whether the bridge was trained on COCO images of this split is not known: %s", error)
        return
    if common:
        log.warning(
            "%d of %d COCO images of this split are among the training images of %s, such as %s: its scores on them are too high. "
            "Compare it only with bridges that were trained on the same benchmark.",
            len(common), len(shown), trained.name, min(common),
        )  # fmt: skip


def _numbers(examples: Iterable[Example]) -> set[str]:
    return {found[0] for e in examples for path in e.images if (found := NUMBER.search(path))}
