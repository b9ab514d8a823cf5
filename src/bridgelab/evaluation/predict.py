"""What a trained bridge answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import LABEL_IGNORED, Batch, TokenizedExamples
from bridgelab.data.shuffled_images import another_image
from bridgelab.evaluation.distributed import processes
from bridgelab.model import BridgedModel, Encoded
from bridgelab.out_of_memory import explain_full_evaluation

ProgressCallback = Callable[[str, int, int], None]  # task, examples done, of how many
ROOM = 2  # tokens by which an answer may be longer than the longest target, so that it can be wrong by saying more


@dataclass(frozen=True)
class Prediction:
    """A prediction of one example.

    Args:
        text: the answer.
        likelihood: log-probability of the target, end token included.
        likelihoods: log-probability of each of the example's choices; None if it has none.
    """

    text: str
    likelihood: float
    likelihoods: tuple[float, ...] | None = None


def predict(
    model: BridgedModel,
    tokenized: TokenizedExamples,
    rows: Sequence[int] | np.ndarray,
    *,
    batch_size: int,
    num_beams: int = 1,
    other_image: np.ndarray | None = None,
    words: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """Predict examples, and return the predictions in the order of `rows`.

    An example with choices is answered by the likeliest of them, every other one by generated text. Processes that train
    together share the batches, and all of them return all predictions. Batches are the same for any number of processes, so
    that predictions are equal to the last bit.

    Args:
        model: the bridge between its backbones.
        tokenized: the examples.
        rows: which of them.
        batch_size: examples in a batch.
        num_beams: of generated text; 1 is greedy.
        other_image: for each row of the image features, the row to use instead, int [image]; None for the examples' own images.
        words: for each of `rows`, a text that the T5 reads instead of the bridge's tokens.
        progress: called with the number of examples done and the total.
    Raises:
        RuntimeError: if the processes do not return one prediction for each example.
    """
    rows = np.asarray(rows)
    # Like lengths together: little padding.
    order = np.lexsort((tokenized.target_lengths[rows], tokenized.prompt_lengths[rows]))
    own: list[tuple[int, Prediction]] = []
    was_training = model.training
    model.eval()
    with processes() as shared, torch.inference_mode():
        for first in range(shared.rank * batch_size, len(rows), shared.world_size * batch_size):
            places = order[first : first + batch_size]
            texts = None if words is None else [words[place] for place in places]
            predictions = _predict_batch(model, tokenized, rows[places], num_beams, other_image, texts)
            own += zip(places.tolist(), predictions, strict=True)
            if progress and shared.rank == 0:
                progress(min(first + shared.world_size * batch_size, len(rows)), len(rows))
        gathered = sorted(shared.gather(own), key=lambda pair: pair[0])
    model.train(was_training)
    if [place for place, _ in gathered] != list(range(len(rows))):
        raise RuntimeError(
            f"{len(gathered)} predictions of {len(rows)} examples came together from the processes."
        )
    return [prediction for _, prediction in gathered]


def _predict_batch(
    model: BridgedModel,
    tokenized: TokenizedExamples,
    rows: np.ndarray,
    num_beams: int,
    other_image: np.ndarray | None,
    words: list[str] | None,
) -> list[Prediction]:
    images = tokenized.images[rows]
    batch = on_device(tokenized.batch(rows, images if other_image is None else other_image[images]), model)
    encoded = model.encode(batch) if words is None else model.encode_words(words, batch)
    examples = [tokenized.examples[row] for row in rows]
    if examples[0].choices:
        return _likeliest_choices(model, examples, encoded)
    length = int(tokenized.target_lengths.max()) + ROOM
    ids = model.generate(batch, max_new_tokens=length, num_beams=num_beams, encoded=encoded)
    texts = model.text.decode(ids.cpu())
    likelihoods = model.likelihood(batch, encoded).tolist()
    return [Prediction(*pair) for pair in zip(texts, likelihoods, strict=True)]


def _likeliest_choices(
    model: BridgedModel, examples: Sequence[Example], encoded: Encoded
) -> list[Prediction]:
    """Predict the likeliest of each example's choices, the first of equally likely ones."""
    distinct = list(dict.fromkeys(choice for e in examples for choice in e.choices))
    ids, mask = model.text.tokenize(distinct)
    labels = torch.where(mask.bool(), ids, LABEL_IGNORED)
    row_of = {choice: row for row, choice in enumerate(distinct)}
    most = max(len(e.choices) for e in examples)
    choices = torch.full((len(examples), most, labels.shape[1]), LABEL_IGNORED)
    for k, example in enumerate(examples):
        choices[k, : len(example.choices)] = labels[[row_of[choice] for choice in example.choices]]
    log_probs = model.choice_likelihoods(encoded, choices.to(encoded.hidden.device)).tolist()
    predictions = []
    for example, row in zip(examples, log_probs, strict=True):
        own = tuple(row[: len(example.choices)])
        target = own[example.choices.index(example.answers[0])]
        predictions.append(Prediction(example.choices[own.index(max(own))], target, own))
    return predictions


def on_device(batch: Batch, model: torch.nn.Module) -> Batch:
    """Return the batch on the model's device."""
    device = next(iter(model.buffers())).device
    return {name: tensor.to(device) for name, tensor in batch.items()}


def with_targets(model: BridgedModel, batch: Batch, answers: Sequence[str]) -> Batch:
    """Return the batch with an answer of each example as its target; the end token alone if the answer is empty."""
    ids, mask = model.text.tokenize([answer.strip() for answer in answers])
    labels = ids.masked_fill(~mask.bool(), LABEL_IGNORED)
    return batch | {"labels": labels.to(batch["labels"].device)}


def mean_loss(
    model: BridgedModel, tokenized: TokenizedExamples, rows: Sequence[int] | np.ndarray, *, batch_size: int
) -> float:
    """Return the loss of the examples in `rows`, as of one batch: the mean over all tokens of their targets, whatever the batches."""
    rows = np.asarray(rows)
    rows = rows[np.argsort(tokenized.prompt_lengths[rows], kind="stable")]
    was_training = model.training
    model.eval()
    batches = [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]
    with torch.inference_mode():
        losses = [model.loss(on_device(tokenized.batch(own), model)).item() for own in batches]
    model.train(was_training)
    tokens = [tokenized.target_lengths[own].sum() for own in batches]
    return float(np.average(losses, weights=tokens))


def predict_views(
    model: BridgedModel,
    tests: dict[str, TokenizedExamples],
    *,
    batch_size: int,
    num_beams: int = 1,
    shuffled: bool,
    images: int,
    to_caption: TokenizedExamples | None = None,
    progress: ProgressCallback | None = None,
) -> dict[tuple[str, str], list[Prediction]]:
    """Predict all test examples in all views, and return the predictions by kind and view.

    Args:
        model: the trained bridge between its backbones.
        tests: the examples by kind.
        batch_size: examples in a batch.
        num_beams: of generated text; 1 is greedy.
        shuffled: also show each example another image (the view `shuffled`).
        images: the number of images that the features of the tests hold.
        to_caption: an example of each image, to be captioned. Questions are then also answered from the bridge's own caption
            instead of its tokens (the view `captioned`; arXiv:2403.11317).
        progress: called with the task, the number of examples done, and the total.
    Raises:
        MemoryError: if a GPU's memory runs out, with the keys of `evaluate` that need less.
    """

    def predict_all(tokenized: TokenizedExamples, task: str, **view: Any) -> list[Prediction]:
        return predict(
            model,
            tokenized,
            np.arange(len(tokenized)),
            batch_size=batch_size,
            num_beams=num_beams,
            progress=(lambda done, total: progress(task, done, total)) if progress else None,
            **view,
        )

    captions: dict[tuple[str, ...], str] = {}
    views = {}
    with explain_full_evaluation(batch_size, num_beams):
        if to_caption is not None:
            predictions = predict_all(to_caption, "captioning")
            captions = {e.images: p.text for e, p in zip(to_caption.examples, predictions, strict=True)}
        for kind, tokenized in tests.items():
            views[kind, "image"] = predict_all(tokenized, f"{kind}, image")
            if shuffled:
                other = another_image(images)
                views[kind, "shuffled"] = predict_all(tokenized, f"{kind}, shuffled", other_image=other)
            if captions and kind != "caption":
                words = [captions[e.images] for e in tokenized.examples]
                views[kind, "captioned"] = predict_all(tokenized, f"{kind}, captioned", words=words)
    return views
