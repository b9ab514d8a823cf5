"""A run as a model of lmms-eval, which finds it by its entry point: `lmms-eval --model bridgelab`. See docs/other_tools.md.

Written for lmms-eval 0.7, which the extra `bridgelab[lmms-eval]` installs. No other module imports this one.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from bridgelab.evaluation.trained_bridge import Picture, load_bridge

MANIFEST = ModelManifest("bridgelab", simple_class_path=f"{__name__}.BridgelabModel")
BATCH_SIZE = 64
# The generation_kwargs that choose how to decode, and their values for greedy decoding.
GREEDY: Mapping[str, tuple[Any, ...]] = {
    "do_sample": (False, None),
    "num_beams": (1, None),
    "temperature": (0, None),
}


class BridgelabModel(lmms):
    """A trained bridge that answers the requests of lmms-eval's tasks.

    Args:
        run: a run's folder, or `hf://ORG/NAME`; in quotes if its name has commas.
        batch_size: requests that are answered together.
        device: where the model goes; by default the GPU if there is one.
        trust: import code that the run names from outside bridgelab.
        max_batch_size: given by lmms-eval, and not used.
    Raises:
        ValueError: if `batch_size` is not a positive number, or the run cannot be loaded.
    """

    is_simple = True

    def __init__(
        self,
        run: str,
        *,
        batch_size: int | str = BATCH_SIZE,
        device: str | None = None,
        trust: bool = False,
        max_batch_size: int | None = None,
    ):
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"batch_size={batch_size!r} must be a number, at least 1. Give --batch_size 64.")
        self.batch_size = int(batch_size)
        self.bridge = load_bridge(str(run).strip("\"'"), device, trust=trust)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer each request greedily, as `bridgelab answer` does, and cut the text as the task asks.

        Raises:
            ValueError: if a task asks for sampling or beam search, or an example has no image.
        """
        for request in requests:
            _check_greedy(request.args[1])
        texts = []
        for batch in self._batches(requests):
            answers = self.bridge.answer_all([(images, request.args[0]) for images, request in batch])
            texts += [
                self._cut(answer.text, request.args[1])
                for answer, (_, request) in zip(answers, batch, strict=True)
            ]
        return texts

    def loglikelihood(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """Return for each request the *negative* log-probability of its answer, and whether greedy decoding gives that answer.

        lmms-eval's tasks with choices take the least value, since its models return losses. The end token is included, as in
        bridgelab's own scores. lmms-eval 0.7.3 turns a bare pair into a string that its tasks fail to unpack, so each pair is the
        `text` of a result, which is passed on unchanged.

        Raises:
            ValueError: if an example has no image.
        """
        pairs: list[GenerationResult] = []
        for batch in self._batches(requests):
            asked = [(images, request.args[0], self._answer(request)) for images, request in batch]
            likelihoods = self.bridge.likelihood_all(asked)
            pairs += [GenerationResult((-one.log_prob, one.greedy)) for one in likelihoods]
        return pairs

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse tasks that ask in rounds: lmms-eval asks every model for this method, and a bridge was trained on single questions.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "generate_until_multi_round: a bridge answers one question, without a dialogue. Choose tasks that use generate_until or "
            "loglikelihood."
        )

    def _batches(self, requests: Sequence[Any]) -> Iterator[list[tuple[tuple[Picture, ...], Any]]]:
        """Yield consecutive requests with equally many images, and these images. Only one batch's images are in memory."""
        opened = ((self._images(request), request) for request in requests)
        for _, group in groupby(opened, key=lambda pair: len(pair[0])):
            while batch := list(islice(group, self.batch_size)):
                yield batch

    def _images(self, request: Any) -> tuple[Picture, ...]:
        _, _, to_images, number, task, split = request.args
        images = to_images(self.task_dict[task][split][number])
        if not images:
            raise ValueError(
                f"{task}, {split} {number}: there is no image, and a bridge needs one. Choose tasks on images."
            )
        return tuple(images)

    def _answer(self, request: Any) -> str:
        _, answer, _, number, task, split = request.args
        return str(answer(self.task_dict[task][split][number]) if callable(answer) else answer)

    def _cut(self, text: str, options: Mapping[str, Any]) -> str:
        """Return the text up to the first of `until`, and at most `max_new_tokens` tokens of it."""
        most = options.get("max_new_tokens")
        if most is not None and text:
            ids, mask = self.bridge.backbones.text.tokenize([text])
            if int(mask.sum()) - 1 > most:  # without the end token
                (text,) = self.bridge.backbones.text.decode(ids[:, :most])
        stops = options.get("until") or ()
        for stop in [stops] if isinstance(stops, str) else stops:
            text = text.split(stop)[0] if stop else text
        return text


def _check_greedy(options: Mapping[str, Any]) -> None:
    """Refuse a task's generation_kwargs if they ask for anything but greedy decoding."""
    for name, values in GREEDY.items():
        if options.get(name) not in values:
            raise ValueError(
                f"generation_kwargs: {name}={options[name]!r} is not greedy, and a bridge's answers are. Set {name} to {values[0]}."
            )
