"""What a trained bridge answers: predictions one row an example, and each kind's official metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.benchmark.accuracy import majority
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metric import ExampleMetric
from bridgelab.data.batches import LABEL_IGNORED, Batch, Prepared
from bridgelab.model import BridgedModel

MAIN_METRIC = {"answer": "accuracy", "true_false": "accuracy", "choice": "accuracy", "caption": "cider"}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Predicted:
    """One example's prediction, the log-probability of its target, and where it has choices, of each of them."""

    text: str
    likelihood: float
    likelihoods: tuple[float, ...] | None = None


def predict(
    model: BridgedModel,
    prepared: Prepared,
    rows: Sequence[int] | np.ndarray,
    *,
    batch_size: int,
    beams: int = 1,
    other_image: np.ndarray | None = None,
    words: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Predicted]:
    """Predict some examples, in the order of `rows`.

    Answers and captions are generated, greedily or by beams, a little longer than the longest target at most; where an example has
    choices it is the likeliest of them.

    Args:
        other_image: for each row of the feature store, which one to show in its place.
        words: for each of `rows` a text that the T5 reads in place of the bridge's tokens.
        progress: called with how many are done, and of how many.
    """
    rows = np.asarray(rows)
    order = np.lexsort(
        (prepared.target_lengths[rows], prepared.prompt_lengths[rows])
    )  # like lengths, little padding
    found: list[Predicted | None] = [None] * len(rows)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(rows), batch_size):
            places = order[first : first + batch_size]
            chosen = rows[places]
            images = prepared.images[chosen]
            batch = on_device(
                prepared.batch(chosen, images if other_image is None else other_image[images]), model
            )
            encoded = (
                model.encode(batch)
                if words is None
                else model.encode_words([words[place] for place in places], batch)
            )
            examples = [prepared.examples[row] for row in chosen]
            if examples[0].choices:
                made = _likeliest(model, examples, encoded)
            else:
                length = int(prepared.target_lengths.max()) + 2  # room to be wrong by saying more
                ids = model.generate(batch, max_new_tokens=length, beams=beams, encoded=encoded)
                texts = model.text.decode(ids.cpu())
                likelihoods = model.likelihood(batch, encoded).tolist()
                made = [Predicted(text, one) for text, one in zip(texts, likelihoods, strict=True)]
            for place, one in zip(places, made, strict=True):
                found[place] = one
            if progress:
                progress(min(first + batch_size, len(rows)), len(rows))
    model.train(was_training)
    return [one for one in found if one is not None]


def _likeliest(
    model: BridgedModel, examples: Sequence[Example], encoded: tuple[Tensor, Tensor]
) -> list[Predicted]:
    """The likeliest of each example's choices; of equally likely ones the first."""
    distinct = list(dict.fromkeys(choice for e in examples for choice in e.choices))
    ids, mask = model.text.tokenize(distinct)
    labels = torch.where(mask.bool(), ids, LABEL_IGNORED)
    row_of = {choice: row for row, choice in enumerate(distinct)}
    most = max(len(e.choices) for e in examples)
    choices = torch.full((len(examples), most, labels.shape[1]), LABEL_IGNORED)
    for k, example in enumerate(examples):
        choices[k, : len(example.choices)] = labels[[row_of[choice] for choice in example.choices]]
    scores = model.choice_likelihoods(encoded, choices.to(encoded[0].device)).tolist()
    found = []
    for example, row in zip(examples, scores, strict=True):
        own = tuple(row[: len(example.choices)])
        target = own[example.choices.index(example.answers[0])]
        found.append(Predicted(example.choices[own.index(max(own))], target, own))
    return found


def on_device(batch: Batch, model: torch.nn.Module) -> Batch:
    """The batch where the model is."""
    device = next(iter(model.buffers())).device
    return {name: tensor.to(device) for name, tensor in batch.items()}


def mean_loss(
    model: BridgedModel, prepared: Prepared, rows: Sequence[int] | np.ndarray, *, batch_size: int
) -> float:
    """The mean loss over batches of some examples, as in training."""
    rows = np.asarray(rows)
    rows = rows[np.argsort(prepared.prompt_lengths[rows], kind="stable")]
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        losses = [
            model.loss(on_device(prepared.batch(rows[k : k + batch_size]), model)).item()
            for k in range(0, len(rows), batch_size)
        ]
    model.train(was_training)
    return float(np.mean(losses))


def another_image(images: int) -> np.ndarray:
    """For each image another one, the same whatever the bridge or its seed: the floor 'shuffled images'.

    Raises:
        ValueError: if there is only one image.
    """
    if images < 2:
        raise ValueError(f"{images} image can't be shuffled: at least 2 are needed. Evaluate on more images.")
    order = np.random.default_rng(0).permutation(images)
    other = np.empty(images, dtype=np.int64)
    other[order] = np.roll(order, 1)  # one cycle: nobody keeps its own
    return other


def evaluate(
    model: BridgedModel,
    tests: dict[str, Prepared],
    metrics: dict[str, ExampleMetric],
    train: dict[str, list[Example]],
    *,
    batch_size: int,
    beams: int = 1,
    shuffled: bool,
    images: int,
    to_caption: Prepared | None = None,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """All test examples in all views.

    Args:
        tests: prepared examples by kind.
        metrics: each kind's official metric.
        train: training examples by kind, for the majority floor, which is left out where there are none.
        shuffled: also show each example another image.
        images: how many images the feature store of the tests holds.
        to_caption: an example for each image, to be captioned: questions are then also answered from the bridge's own
            caption in place of its tokens (the view `captioned`; arXiv:2403.11317).
    Returns:
        rows for `predictions.parquet`, and metrics by `test/<metric>` and `test_shuffled/<metric>`.
    """
    rows: list[dict[str, Any]] = []
    values: dict[str, float] = {}
    said: dict[tuple[str, ...], str] = {}
    if to_caption is not None:
        report = (lambda done, of: progress("captioning", done, of)) if progress else None
        captions = predict(
            model, to_caption, np.arange(len(to_caption)), batch_size=batch_size, beams=beams, progress=report
        )
        said = {e.images: found.text for e, found in zip(to_caption.examples, captions, strict=True)}
    views = ("image", *(("shuffled",) if shuffled else ()), *(("captioned",) if said else ()))
    for kind, prepared in tests.items():
        examples, metric = prepared.examples, metrics[kind]
        floor: Sequence[str | None] = [None] * len(examples)
        of_family = floor
        if kind != "caption" and train.get(kind):
            floor = majority(train[kind], examples)
            of_family = majority(train[kind], examples, tags=("type", "family"))
            right = [metric.score(m, e) for m, e in zip(floor, examples, strict=True)]  # type: ignore[arg-type]
            values["test/majority"] = float(np.mean(right))
        for view in views if kind != "caption" else [v for v in views if v != "captioned"]:
            say = (lambda done, of, w=f"{kind}, {view}": progress(w, done, of)) if progress else None
            found = predict(
                model,
                prepared,
                np.arange(len(prepared)),
                batch_size=batch_size,
                beams=beams,
                other_image=another_image(images) if view == "shuffled" else None,
                words=[said[e.images] for e in examples] if view == "captioned" else None,
                progress=say,
            )
            prefix = "test" if view == "image" else f"test_{view}"
            metric.reset()
            metric.update([p.text for p in found], examples, [p.likelihoods for p in found])
            values |= {f"{prefix}/{name}": float(value) for name, value in metric.compute().items()}
            values[f"{prefix}/likelihood_{kind}"] = float(np.mean([p.likelihood for p in found]))
            rows += [
                {
                    "id": example.id,
                    "image": "|".join("/".join(path.split("/")[-2:]) for path in example.images),
                    "kind": kind,
                    "view": view,
                    "prompt": example.prompt,
                    "target": example.answers[0],
                    "prediction": one.text,
                    "score": float(metric.score(one.text, example)),
                    "likelihood": one.likelihood,
                    **({} if one.likelihoods is None else {"likelihoods": list(one.likelihoods)}),
                    "majority": guess,
                    "majority_of_family": guess_of_family,
                    **{f"tag_{name}": value for name, value in example.tags.items()},
                }
                for example, one, guess, guess_of_family in zip(
                    examples, found, floor, of_family, strict=True
                )
            ]
    return rows, values
