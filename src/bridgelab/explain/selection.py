r"""Selection: does an answer rest on the patches of the objects that its question visits? Causal, the same for all bridges.

Patches are replaced by the mean patch before the bridge, and the right answer's log-probability watched: with $e_g$ its mean
fall when the patches g are replaced, and V, O and B those of visited objects, of other objects alone and of the background,

$\text{selection} = e_V / (e_V + e_O + e_B)$

It is 1 for a bridge from which the answer is read off the visited objects alone, and for one to which all patches are alike V's
share of the patches, its base rate. It may leave [0, 1], where patches speak against the answer, and is never clipped.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bridgelab.data.batches import TokenizedExamples
from bridgelab.explain.occlusion import effects
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import ONE, sample_of
from bridgelab.statistics.estimate import Estimate

DRAWS = 4  # of random patches, averaged


@dataclass(frozen=True)
class Selection:
    """By how much the right answer's log-probability falls (nats).

    Args:
        visited: without the patches of visited objects.
        others: without as many patches of other objects, drawn at random, where there are as many.
        background: without as many of the background, likewise.
        random: without as many of all.
        selection: the share of the fall that visited objects make; None where no fall is told from 0.
        base: visited objects' share of the patches.
        questions: how many visit an object.
    """

    visited: Estimate
    others: Estimate
    background: Estimate
    random: Estimate
    selection: Estimate | None
    base: Estimate
    questions: int


def selection(
    model: BridgedModel,
    prepared: TokenizedExamples,
    parts: np.ndarray,
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Selection:
    """Replace patches of each part and watch the answers.

    Args:
        model: a calibrated one.
        prepared: questions, with their right answers.
        parts: bool [question, part, patch]: of visited objects, other objects and background, as `Places.parts` gives them; a
            patch of none (a class token) is left as it is.
        seed: of the random draws.
        progress: called with how many questions are done.
    Raises:
        ValueError: if no question visits an object.
    """
    number = parts[:, 0].sum(1)
    asked = number > 0
    if not asked.any():
        raise ValueError(
            f"none of {len(parts)} questions visits an object: there is nothing to select. Give more questions."
        )
    groups, enough = matched(parts, np.random.default_rng(seed))
    fall = effects(model, prepared, np.concatenate([parts, groups], 1), progress)
    whole, others, background = fall[:, :3], fall[:, 3], fall[:, 4]
    sample = sample_of(prepared.examples)

    def mean(values: np.ndarray, chosen: np.ndarray) -> Estimate:
        return sample.mean(values[None].astype(np.float64), ONE, chosen, shares=False)

    visited = mean(whole[:, 0], asked)
    total = mean(whole.sum(1), asked)
    low, high = total.interval
    return Selection(
        visited=visited,
        others=mean(others, asked & enough[:, 0]),
        background=mean(background, asked & enough[:, 1]),
        random=mean(fall[:, 5:].mean(1), asked),
        selection=visited / total if low > 0 or high < 0 else None,
        base=mean(number / np.maximum(parts.sum((1, 2)), 1), asked),
        questions=int(asked.sum()),
    )


def matched(parts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As many patches as visited objects have, of other objects, of the background, and `DRAWS` times of all.

    Returns:
        groups: bool [question, 2 + DRAWS, patch].
        enough: bool [question, 2]: whether other objects and background have as many.
    """
    questions, _, patches = parts.shape
    groups = np.zeros((questions, 2 + DRAWS, patches), dtype=bool)
    enough = parts[:, 1:].sum(2) >= parts[:, :1].sum(2)
    for k, (visited, others, background) in enumerate(parts):
        everywhere = visited | others | background
        for place, among in enumerate([others, background, *[everywhere] * DRAWS]):
            within = np.flatnonzero(among)
            groups[k, place, rng.permutation(within)[: visited.sum()]] = True
    return groups, enough
