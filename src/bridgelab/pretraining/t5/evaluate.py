"""Accuracy of a reader on scenes in words, by form of the prefix and by family of question."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.benchmark.metrics.scene_attributes import attribute_shares
from bridgelab.model import bf16_is_fast
from bridgelab.pretraining.t5.batches import END, collate
from bridgelab.pretraining.t5.lessons import Lesson, lessons
from bridgelab.pretraining.t5.loss import encoder_input, loss_and_hits
from bridgelab.world.questions.families import FAMILIES

# Layout and cut of the scene in each form: in phrases, and with one position per object.
FORMS = {
    "compact": ("compact", 1.0),
    "patch_like": ("patch_like", 1.0),
    "compact_objects": ("compact", 0.0),
    "patch_like_objects": ("patch_like", 0.0),
}
# Further forms, measured of readers whose lessons had them.
GRID_FORMS = {"patch_like_36": ("patch_like_36", 1.0), "patch_like_144": ("patch_like_144", 1.0)}
BY_ATTRIBUTE = "caption, by attribute"
MOST_OBJECTS = 10  # of a scene, in training as in CLEVR
SHARES = {"question": 20, "caption": 1, "look_up": 2}  # lessons per scene

Counts = dict[str, list[float]]  # by family: how many were right, of how many


@torch.no_grad()
def evaluate(
    model: Any,
    vocabulary: dict[str, int],
    *,
    scenes: int = 100,
    batch: int = 128,
    split: str = "val",
    objects: tuple[int, int] = (3, MOST_OBJECTS),
    forms: Mapping[str, tuple[str, float]] = FORMS,
) -> dict[str, Counts]:
    """Answer the lessons of scenes that training never draws.

    Args:
        model: a T5.
        vocabulary: id of each word.
        scenes: number of scenes.
        batch: lessons answered at once.
        split: names the random stream of the scenes.
        objects: the least and the most objects of a scene.
        forms: layout and cut of the scene in words, by name.
    Returns:
        By form of the prefix and by family: [right, all]. Captions are also scored by attribute.
    """
    model.eval()
    examples = lessons(split, 0, 0, scenes=scenes, shares=SHARES, objects=objects)
    examples.sort(key=lambda lesson: (len(lesson.target.split()), len(lesson.prompt.split())))
    results = {}
    for name, (form, cut) in forms.items():
        rng = np.random.default_rng(0)
        scores: dict[str, list[float]] = {}
        for start in range(0, len(examples), batch):
            group = examples[start : start + batch]
            _score(model, group, collate(group, form, vocabulary, rng, cut), vocabulary, scores)
        results[name] = {family: [sum(hits), len(hits)] for family, hits in sorted(scores.items())}
    model.train()
    return results


def _score(
    model: Any,
    group: list[Lesson],
    arrays: dict[str, Tensor],
    vocabulary: dict[str, int],
    scores: dict[str, list[float]],
) -> None:
    """Append the scores of a batch to those of their families."""
    device = next(model.parameters()).device
    arrays = {key: array.to(device) for key, array in arrays.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16_is_fast(device)):
        hits = loss_and_hits(model, arrays)[1].tolist()
        captions = [k for k, lesson in enumerate(group) if lesson.family == "caption"]
        if captions:
            chosen = {key: array[captions] for key, array in arrays.items()}
            scores.setdefault(BY_ATTRIBUTE, []).extend(caption_scores(model, chosen, vocabulary))
    for lesson, hit in zip(group, hits, strict=True):
        scores.setdefault(lesson.family, []).append(hit)


def caption_scores(model: Any, batch: dict[str, Tensor], vocabulary: dict[str, int]) -> list[float]:
    """Return, for each caption of a batch, the share of attributes that the model's own caption has right."""
    embedded, mask = encoder_input(model, batch)
    ids = model.generate(
        inputs_embeds=embedded, attention_mask=mask, max_new_tokens=batch["target"].shape[1], do_sample=False
    )
    words = {k: word for word, k in vocabulary.items()}
    captions, targets = (
        # The embedding has more rows than there are words, so an untrained model may generate an id without a word.
        [" ".join(words.get(k, "<unk>") for k in row if k > END) for row in rows.tolist()]
        for rows in (ids, batch["target"])
    )
    return [attribute_shares(c, t)["attributes"] for c, t in zip(captions, targets, strict=True)]


def mean_over_families(counts: Counts) -> float:
    """Return the unweighted mean accuracy over the families of questions."""
    return float(np.mean([right / n for family, (right, n) in counts.items() if family in FAMILIES]))


def card_figures(results: dict[str, Counts]) -> dict[str, dict[str, Any]]:
    """Return, for each form, the mean over families of questions and the families' counts."""
    return {
        form: {"mean": mean_over_families(counts), "families": counts} for form, counts in results.items()
    }
