"""A trained bridge that answers questions about images: the library's side of `bridgelab answer`."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from bridgelab.backbones import Backbones
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.readers.multiple_choice import NO_HINT
from bridgelab.bridge.hub import read_hub_bridge
from bridgelab.bridge.hub_repository import is_hub
from bridgelab.config.instantiate import build
from bridgelab.data.batches import Batch, TokenizedExamples
from bridgelab.data.features.encoding import encode, rounded
from bridgelab.data.image_files import read_image, to_rgb
from bridgelab.device import local_device
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import on_device, predict, with_targets
from bridgelab.evaluation.published_bridge import hub_config, load_published
from bridgelab.model import BridgedModel
from bridgelab.printable import printable

MAX_ANSWER_TOKENS = 64
PLACEHOLDER = re.compile(r"\{\w+\}")
# Fills for placeholders that a plain question leaves empty, as in training. All others take the question.
NOTHING = {"{hint}": NO_HINT, "{options}": "", "{instruction}": ""}
log = logging.getLogger(__name__)

Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Answer:
    """An answer of a trained bridge; `str()` gives its text, and the words of the question that were not read.

    Args:
        text: the generated answer, or the likelier of "true" and "false" if the benchmark decides between them.
        probability: of `text`, end token included, between 0 and 1.
        unknown_words: words of the question that the language model's tokenizer does not know, and that it did not read.
        question: the question as the tokenizer read it.
        batch: the model's inputs with `text` as the target, on the model's device.
    """

    text: str
    probability: float
    unknown_words: tuple[str, ...] = ()
    question: str = ""
    batch: Batch = field(default_factory=dict, repr=False, compare=False)

    @property
    def unread(self) -> str:
        """A note on the words of the question that the language model does not know; empty if it knows all."""
        unknown = ", ".join(map(repr, self.unknown_words))
        return f"asked without {unknown}, which the T5 does not know" if unknown else ""

    def __str__(self) -> str:
        return f"{self.text} ({self.unread})" if self.unread else self.text


class Likelihood(NamedTuple):
    """How likely an answer is.

    Args:
        log_prob: its log-probability, end token included.
        greedy: whether it is what the bridge generates greedily.
    """

    log_prob: float
    greedy: bool


class TrainedBridge:
    """A run's trained bridge between its frozen backbones.

    Args:
        config: the run's config.
        backbones: the frozen vision encoder and language model.
        model: the bridge between them, with its trained weights.
    Raises:
        ValueError: if the bridge reads no image, as the floor `blind` and the ceiling `words`.
    """

    def __init__(self, config: DictConfig, backbones: Backbones, model: BridgedModel):
        if backbones.sees != "image":
            raise ValueError(
                f"bridge={config.bridge._target_} sees {backbones.sees}, and no image. Give a run of another bridge."
            )
        if not reads_question(config.benchmark):
            log.warning(
                "the prompt that this bridge was trained with has no place for a question, so it answers without: %s",
                printable(_template(config.benchmark)),
            )
        self.config, self.backbones, self.model = config, backbones, model
        # The run's own features were rounded to it. Older runs do not name it.
        self.dtype = str(OmegaConf.select(config, "data.dtype", default="bfloat16"))
        backbones.vision.to(backbones.device)

    def answer(self, images: Picture | Sequence[Picture], question: str) -> Answer:
        """Answer a question about an image.

        Args:
            images: an image, or as many as an example of the run's benchmark has. Each is a path, a PIL image, or a uint8 array
                [height, width, 3] in RGB.
            question: in plain words. It is put into the prompt that the benchmark's questions were trained with.
        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if an image cannot be read.
        """
        if isinstance(images, str) or not isinstance(images, Sequence):
            images = [images]
        (answer,) = self.answer_all([(images, question)])
        return answer

    def answer_all(self, asked: Sequence[tuple[Sequence[Picture], str]]) -> list[Answer]:
        """Answer several questions as one batch.

        Args:
            asked: for each question its images, as many for one as for another, and its words; see `answer`.
        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if an image cannot be read.
        """
        model, text = self.model, self.backbones.text
        tokenized, questions = self._tokenized(asked)
        order = list(range(len(asked)))
        texts = [one.text for one in predict(model, tokenized, order, batch_size=len(asked))]
        batch = with_targets(model, on_device(tokenized.batch(order), model), texts)
        with torch.inference_mode():
            probabilities = model.likelihood(batch).exp().tolist()
        return [
            Answer(
                answer,
                probabilities[row],
                tuple(text.unknown(questions[row].split())),
                questions[row],
                {name: tensor[row : row + 1] for name, tensor in batch.items()},
            )
            for row, answer in enumerate(texts)
        ]

    def likelihood_all(self, asked: Sequence[tuple[Sequence[Picture], str, str]]) -> list[Likelihood]:
        """Return how likely given answers are, as one batch.

        Args:
            asked: for each question its images, as many for one as for another, its words, and an answer.
        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if an image cannot be read.
        """
        model, answers = self.model, [answer.strip() for *_, answer in asked]
        tokenized, _ = self._tokenized([(images, question) for images, question, _ in asked])
        batch = with_targets(model, on_device(tokenized.batch(list(range(len(asked)))), model), answers)
        with torch.inference_mode():
            encoded = model.encode(batch)
            log_probs = model.likelihood(batch, encoded).tolist()
            ids = model.generate(batch, max_new_tokens=batch["labels"].shape[1] + 1, encoded=encoded)
        written = model.text.decode(ids.cpu())
        return [
            Likelihood(log_prob, text.strip() == answer)
            for log_prob, text, answer in zip(log_probs, written, answers, strict=True)
        ]

    def _tokenized(
        self, asked: Sequence[tuple[Sequence[Picture], str]]
    ) -> tuple[TokenizedExamples, list[str]]:
        """Return questions as examples with their images' features, and the questions as they are read."""
        text = self.backbones.text
        pixels = [as_pixels(image) for images, _ in asked for image in images]
        names = [f"image {number}" for number in range(1, len(pixels) + 1)]
        patches = rounded(encode(self.backbones.vision, pixels), self.dtype, names)
        # Join the patches of a question's images.
        patches = patches.unflatten(0, (len(asked), -1)).flatten(1, 2)
        questions = [spelled_as_known(question, text) for _, question in asked]
        examples = [self._example(question, f"/{row}") for row, question in enumerate(questions)]
        rows = {example.images[0]: row for row, example in enumerate(examples)}
        # The bridge is told its own question, even if it was trained with another example's.
        told = "none" if self.model.conditioning == "none" else "question"
        tokenized = TokenizedExamples(examples, text, rows, lambda rows: patches[torch.as_tensor(rows)], told)
        return tokenized, questions

    def _example(self, question: str, image: str) -> Example:
        """Return an example whose target leaves room for an answer of any usual length."""
        benchmark = self.config.benchmark
        kinds = build(benchmark, "benchmark").kinds
        kind = "true_false" if "true_false" in kinds and "answer" not in kinds else "answer"
        target = "true" if kind == "true_false" else " ".join(["."] * MAX_ANSWER_TOKENS)
        return Example("question", (image,), in_template(benchmark, question), (target,), kind)


def load_bridge(
    run: str | Path,
    device: Any = None,
    *,
    trust: bool = False,
    paths: Mapping[str, str | Path] | None = None,
) -> TrainedBridge:
    """Load the trained bridge of a run, or one from the Hugging Face hub.

    Args:
        run: a run's folder, `runs/<study>/<overrides>`, with its `config.yaml` and `last.ckpt`; or `hf://ORG/NAME` or
            `hf://ORG/NAME@REVISION`, which `bridgelab push` wrote.
        device: where the model goes; by default the GPU if there is one, else the CPU.
        trust: import code that the run names from outside bridgelab, such as a bridge of your own.
        paths: for a bridge of the hub, where its frozen models lie on this machine, such as `{"text.path": "/models/flan-t5-xl"}`.
            Other keys are `vision.weights` and `vision.pretrained`.
    Raises:
        ConnectionError: if the hub is needed and can't be reached.
        FileNotFoundError: if a file of the run is missing.
        ValueError: if the bridge was trained between other weights than those found here, names code that is not trusted, or
            reads no image; or if `paths` has another key, or is given for a run.
    """
    device = device or local_device()
    if is_hub(run):
        config = hub_config(read_hub_bridge(str(run)), trust=trust, paths=paths)
        return TrainedBridge(config, *load_published(config, device))
    if paths:
        raise ValueError(
            f"paths={dict(paths)}: {run} is a run of this machine, which names its models itself. Leave paths out."
        )
    return TrainedBridge(*load_trained(Path(run), device, trust=trust))


def as_pixels(image: Picture) -> np.ndarray:
    """Return an image as uint8 [height, width, 3] in RGB.

    Raises:
        FileNotFoundError: if it is the path of a file that is missing.
        ValueError: if it cannot be read, or is an array of another type or shape.
    """
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"the image is {image.dtype} {list(image.shape)}: an array must be uint8 [height, width, 3] in RGB. "
                "Convert it, or give a path or a PIL image."
            )
        return image
    try:
        return read_image(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no image {image}. Give the path of a picture file.") from None


def in_template(benchmark: Any, question: str) -> str:
    """Put a question into the prompt that the benchmark's questions were trained with; leave it if it is in that prompt already.

    Placeholders of other texts, such as a hint, are filled as in training for a question without them (`NOTHING`).
    """
    template = _template(benchmark)
    head, *between = PLACEHOLDER.split(template)
    if between and (head or between[-1]) and question.startswith(head) and question.endswith(between[-1]):
        return question  # an evaluation harness asks in the benchmark's words
    return PLACEHOLDER.sub(lambda place: NOTHING.get(place[0], question), template)


def reads_question(benchmark: Any) -> bool:
    """Return whether the prompt has a place for a question; that of captions has none."""
    return bool(set(PLACEHOLDER.findall(_template(benchmark))) - NOTHING.keys())


def _template(benchmark: Any) -> str:
    return str(benchmark.get("question_prompt") or benchmark.get("prompt") or "{question}")


def spelled_as_known(question: str, text: Any) -> str:
    """Return the question in lower case with its punctuation apart, if the tokenizer knows more of its words so."""
    apart = " ".join(re.sub(r"([?,.;:!])", r" \1 ", question.lower()).split())
    unknown = text.unknown(question.split())
    return apart if unknown and len(text.unknown(apart.split())) <= len(unknown) else question
