"""What a trained bridge answers: predictions one row an example, and each kind's official metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.majority import majority
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import LABEL_IGNORED, Batch, TokenizedExamples
from bridgelab.data.shuffled_images import another_image
from bridgelab.evaluation.processes import processes
from bridgelab.model import BridgedModel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Predicted:
    """One example's prediction, the log-probability of its target, and where it has choices, of each of them."""

    text: str
    likelihood: float
    likelihoods: tuple[float, ...] | None = None


def predict(
    model: BridgedModel,
    prepared: TokenizedExamples,
    rows: Sequence[int] | np.ndarray,
    *,
    batch_size: int,
    num_beams: int = 1,
    other_image: np.ndarray | None = None,
    words: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Predicted]:
    """Predict some examples, in the order of `rows`.

    Answers and captions are generated, greedily or by beams, a little longer than the longest target at most, which
    `data.max_length` bounds; where an example has choices it is the likeliest of them.

    Where several processes train together, each takes every n-th batch, and all return all predictions. A batch is what it is
    in one process, so that what is found does not depend on how many there are, to the last bit.

    Args:
        other_image: for each row of the feature store, which one to show in its place.
        words: for each of `rows` a text that the T5 reads in place of the bridge's tokens.
        progress: called with how many are done, and of how many.
    """
    rows = np.asarray(rows)
    order = np.lexsort(
        (prepared.target_lengths[rows], prepared.prompt_lengths[rows])
    )  # like lengths, little padding
    own: list[tuple[int, str, float, tuple[float, ...] | None]] = []
    was_training = model.training
    model.eval()
    with processes() as shared, torch.inference_mode():
        for first in range(shared.rank * batch_size, len(rows), shared.world * batch_size):
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
                ids = model.generate(batch, max_new_tokens=length, num_beams=num_beams, encoded=encoded)
                texts = model.text.decode(ids.cpu())
                likelihoods = model.likelihood(batch, encoded).tolist()
                made = [Predicted(text, one) for text, one in zip(texts, likelihoods, strict=True)]
            for place, one in zip(places.tolist(), made, strict=True):
                own.append((place, one.text, one.likelihood, one.likelihoods))
            if progress and shared.rank == 0:
                progress(min(first + shared.world * batch_size, len(rows)), len(rows))
        found = sorted(shared.gather(own))
    model.train(was_training)
    if [place for place, *_ in found] != list(range(len(rows))):
        raise RuntimeError(
            f"{len(found)} predictions of {len(rows)} examples came together from the processes."
        )
    return [
        Predicted(text, likelihood, None if each is None else tuple(each))
        for _, text, likelihood, each in found
    ]


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


def with_target(model: BridgedModel, batch: Batch, answer: str) -> Batch:
    """Return the batch, of one example, with an answer as its target; a full stop if the answer is empty."""
    ids, mask = model.text.tokenize([answer.strip() or "."])
    labels = ids.masked_fill(~mask.bool(), LABEL_IGNORED)
    return batch | {"labels": labels.to(batch["labels"].device)}


def mean_loss(
    model: BridgedModel, prepared: TokenizedExamples, rows: Sequence[int] | np.ndarray, *, batch_size: int
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


def predict_views(
    model: BridgedModel,
    tests: dict[str, TokenizedExamples],
    *,
    batch_size: int,
    num_beams: int = 1,
    shuffled: bool,
    images: int,
    to_caption: TokenizedExamples | None = None,
    progress: Progress | None = None,
) -> dict[tuple[str, str], list[Predicted]]:
    """All test examples in all views: predictions by kind and view, shared by the processes that train together.

    Args:
        tests: prepared examples by kind.
        shuffled: also show each example another image.
        images: how many images the feature store of the tests holds.
        to_caption: an example for each image, to be captioned: questions are then also answered from the bridge's own
            caption in place of its tokens (the view `captioned`; arXiv:2403.11317).
    """

    def told(what: str) -> Callable[[int, int], None] | None:
        return (lambda done, of: progress(what, done, of)) if progress else None

    def all_of(prepared: TokenizedExamples, what: str, **choices: Any) -> list[Predicted]:
        rows = np.arange(len(prepared))
        return predict(
            model, prepared, rows, batch_size=batch_size, num_beams=num_beams, progress=told(what), **choices
        )

    said: dict[tuple[str, ...], str] = {}
    if to_caption is not None:
        captions = all_of(to_caption, "captioning")
        said = {e.images: found.text for e, found in zip(to_caption.examples, captions, strict=True)}
    found = {}
    for kind, prepared in tests.items():
        found[kind, "image"] = all_of(prepared, f"{kind}, image")
        if shuffled:
            found[kind, "shuffled"] = all_of(prepared, f"{kind}, shuffled", other_image=another_image(images))
        if said and kind != "caption":
            words = [said[e.images] for e in prepared.examples]
            found[kind, "captioned"] = all_of(prepared, f"{kind}, captioned", words=words)
    return found


def score(
    found: dict[tuple[str, str], list[Predicted]],
    tests: dict[str, TokenizedExamples],
    metrics: dict[str, ExampleMetric],
    train: dict[str, list[Example]],
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """What predictions are worth. For one process: a metric would wait for the others to join in.

    Args:
        found: predictions by kind and view, in the order of the examples.
        tests: prepared examples by kind.
        metrics: each kind's official metric.
        train: training examples by kind, for the majority floor, which is left out where there are none.
    Returns:
        rows for `predictions.parquet`, and metrics by `test/<metric>` and `test_shuffled/<metric>`.
    """
    rows: list[dict[str, Any]] = []
    values: dict[str, float] = {}
    floors: dict[str, tuple[Sequence[str | None], Sequence[str | None]]] = {}
    for kind, prepared in tests.items():
        floors[kind] = ([None] * len(prepared),) * 2
        if kind != "caption" and train.get(kind):
            floor = majority(train[kind], prepared.examples)
            floors[kind] = floor, majority(train[kind], prepared.examples, tags=("type", "family"))
            right = [metrics[kind].score(m, e) for m, e in zip(floor, prepared.examples, strict=True)]
            values["test/majority"] = float(np.mean(right))
    for (kind, view), predicted in found.items():
        examples, metric = tests[kind].examples, metrics[kind]
        prefix = "test" if view == "image" else f"test_{view}"
        metric.reset()
        metric.update([p.text for p in predicted], examples, [p.likelihoods for p in predicted])
        values |= {f"{prefix}/{name}": float(value) for name, value in metric.compute().items()}
        values[f"{prefix}/likelihood_{kind}"] = float(np.mean([p.likelihood for p in predicted]))
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
            for example, one, guess, guess_of_family in zip(examples, predicted, *floors[kind], strict=True)
        ]
    return rows, values


def evaluate(
    model: BridgedModel,
    tests: dict[str, TokenizedExamples],
    metrics: dict[str, ExampleMetric],
    train: dict[str, list[Example]],
    **choices: Any,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """`predict_views`, with its choices, and `judge`: where one process does both."""
    return score(predict_views(model, tests, **choices), tests, metrics, train)
