"""Questions with options of their own, of which the likeliest text is the prediction."""

import random
import re
import string
from collections import Counter
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
        options: the options' texts. Those of equal text are distinguished by their letters, since the answer is an index.
        answer: index of the right option.
        tags: the example's tags.
        hint: a text to read before the question.
    Raises:
        ValueError: if the answer is no index of an option, or as `Example`.
    """
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        raise ValueError(f"answer={answer!r} must be an index of {len(options)} choices")
    lettered = [f"({letter}) {text}" for letter, text in zip(string.ascii_uppercase, options, strict=False)]
    times = Counter(options)
    choices = [lettered[k] if times[option] > 1 else option for k, option in enumerate(options)]
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


def in_drawn_order(options: Sequence[str], key: str) -> list[str]:
    """Return the options in an order drawn from the key alone.

    For benchmarks that publish the right option first, where ties and the most frequent position would give it away.
    """
    drawn = list(options)
    random.Random(key).shuffle(drawn)
    return drawn


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
