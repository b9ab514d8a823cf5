r"""Selection: does an answer rest on the patches of the objects that its question visits? Causal, and the same for all bridges.

Patches are replaced by the mean patch before the bridge (`occlusion`). Let $e_g$ be the mean fall of the right answer's log-probability
when the patches g are replaced, and V, O and B the patches of visited objects, of other objects alone and of the background:

$\text{selection} = e_V / (e_V + e_O + e_B)$

It is 1 if the answer rests on the visited objects alone. If all patches count alike, it is V's share of the patches, the base rate. It
can leave [0, 1] if patches speak against the answer, and it is never clipped.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bridgelab.data.batches import TokenizedExamples
from bridgelab.explain.occlusion import occlusion_effects
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import SINGLE_RUN, sample_of
from bridgelab.statistics.estimate import Estimate

RANDOM_DRAWS = 4  # of random patches, averaged


@dataclass(frozen=True)
class Selection:
    """Falls of the right answer's log-probability, in nats.

    Args:
        visited: when the patches of visited objects are replaced.
        others: when as many patches of other objects are, drawn at random, in questions that have as many.
        background: when as many patches of the background are, likewise.
        random: when as many of all patches are.
        selection: the share of visited objects in the fall; None if there is no significant fall.
        base: the share of visited objects in the patches.
        questions: number of questions that visit an object.
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
    tokenized: TokenizedExamples,
    regions: np.ndarray,
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Selection:
    """Replace the patches of each region and measure the fall of the right answer's likelihood.

    Intervals are over images. That of `selection` is the delta method's.

    Args:
        model: a model whose bridge's output scale is set.
        tokenized: questions with their right answers.
        regions: patches of visited objects, of other objects and of the background, bool [question, region, patch], as
            `SceneAnnotations.regions` returns them; a patch in no region (a class token) is never replaced.
        seed: of the random draws.
        progress: called with the number of questions done.
    Raises:
        ValueError: if no question visits an object.
    """
    num_visited = regions[:, 0].sum(1)
    visits = num_visited > 0
    if not visits.any():
        raise ValueError(
            f"none of {len(regions)} questions visits an object: there is nothing to select. Give more questions."
        )
    groups, enough = draw_matched_groups(regions, np.random.default_rng(seed))
    effects = occlusion_effects(model, tokenized, np.concatenate([regions, groups], 1), progress)
    of_regions, of_others, of_background, of_random = (
        effects[:, :3],
        effects[:, 3],
        effects[:, 4],
        effects[:, 5:],
    )
    sample = sample_of(tokenized.examples)

    def mean(values: np.ndarray, mask: np.ndarray) -> Estimate:
        return sample.mean(values[None].astype(np.float64), SINGLE_RUN, mask, within_unit=False)

    visited = mean(of_regions[:, 0], visits)
    total = mean(of_regions.sum(1), visits)
    low, high = total.interval
    return Selection(
        visited=visited,
        others=mean(of_others, visits & enough[:, 0]),
        background=mean(of_background, visits & enough[:, 1]),
        random=mean(of_random.mean(1), visits),
        selection=visited / total if low > 0 or high < 0 else None,
        base=mean(num_visited / np.maximum(regions.sum((1, 2)), 1), visits),
        questions=int(visits.sum()),
    )


def draw_matched_groups(regions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many patches as visited objects have: of other objects, of the background, and `RANDOM_DRAWS` times of all.

    Args:
        regions: bool [question, region, patch], as in `selection`.
        rng: source of randomness.
    Returns:
        groups: bool [question, 2 + RANDOM_DRAWS, patch].
        enough: whether other objects and the background have as many, bool [question, 2].
    """
    questions, _, patches = regions.shape
    groups = np.zeros((questions, 2 + RANDOM_DRAWS, patches), dtype=bool)
    enough = regions[:, 1:].sum(2) >= regions[:, :1].sum(2)
    for k, (visited, others, background) in enumerate(regions):
        anywhere = visited | others | background
        for place, region in enumerate([others, background, *[anywhere] * RANDOM_DRAWS]):
            candidates = np.flatnonzero(region)
            groups[k, place, rng.permutation(candidates)[: visited.sum()]] = True
    return groups, enough
