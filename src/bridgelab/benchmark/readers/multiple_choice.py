"""Questions with options of their own, of which the likeliest text is the prediction."""

import random
import re
import string
from collections.abc import Mapping, Sequence

from bridgelab.benchmark.example import Example

NO_HINT = "N/A"


def choice_example(
    name: str,
    images: Sequence[str],
    *,
    prompt: str,
    question: str,
    options: Sequence[str],
    answer: int,
    tags: Mapping[str, str | int],
    hint: str | None = None,
) -> Example:
    """Return the example of a question with options.

    Args:
        name: the example's id.
        images: absolute paths of its images.
        prompt: of `{question}`, `{options}` as '(A) … (B) …', and `{hint}`, which is N/A where there is none.
        question: the question's text.
        options: the options' texts. If some are equal, all have their letters, which tell these apart: the answer is an index.
        answer: index of the right option.
        tags: the example's tags.
        hint: a text to read before the question.
    Raises:
        TypeError: if the options are not a list of texts, or the question is no text.
        ValueError: if the answer is no index of an option, or as `Example`.
    """
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise TypeError(f"choices={options!r} must be a list of texts")
    if not isinstance(question, str):  # `re.sub` would take None for an empty text
        raise TypeError(f"question={question!r} must be a text")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        raise ValueError(f"answer={answer!r} must be an index of {len(options)} choices")
    lettered = [f"({letter}) {text}" for letter, text in zip(string.ascii_uppercase, options, strict=False)]
    # A letter costs log-probability, so that either all options have one or none has.
    choices = options if len(set(options)) == len(options) else lettered
    texts = {"question": question, "hint": hint or NO_HINT, "options": " ".join(lettered)}
    return Example(
        id=name,
        images=tuple(images),
        # All at once, since a question may hold braces itself.
        prompt=re.sub(r"\{(question|hint|options)\}", lambda match: texts[match[1]], prompt),
        answers=(choices[answer],),
        kind="choice",
        tags=dict(tags),
        choices=tuple(choices),
    )


def first_is_right(
    name: str,
    images: Sequence[str],
    *,
    prompt: str,
    options: Sequence[str],
    tags: Mapping[str, str | int],
    question: str = "",
) -> Example:
    """Return the example of a question whose first option is published as the right one.

    Options are shown in an order drawn from the example's id alone: if the right one always came first, ties and the most frequent
    position would favour it. Arguments and Raises are those of `choice_example`.
    """
    if not isinstance(options, list):
        raise TypeError(f"choices={options!r} must be a list of texts")
    order = list(range(len(options)))
    random.Random(name).shuffle(order)
    return choice_example(
        name,
        images,
        prompt=prompt,
        question=question,
        options=[options[k] for k in order],
        answer=order.index(0) if order else 0,
        tags=tags,
    )


def letter_index(letter: str, count: int) -> int:
    """Return the index of an option from its letter: 'B' or '(b)' -> 1.

    Raises:
        ValueError: if it is not the letter of one of `count` options.
    """
    bare = str(letter).strip().strip("().").upper()
    letters = string.ascii_uppercase[:count]
    if len(bare) != 1 or bare not in letters:
        raise ValueError(f"answer={letter!r} must be one of the options' letters, {', '.join(letters)}")
    return letters.index(bare)
