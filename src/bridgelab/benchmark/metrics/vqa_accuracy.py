r"""VQA accuracy: how many of ten people gave the answer, with the official code's normalisation in two variants.

With n answers, and $m_{-i}$ of those other than the i-th equal to the prediction,

$\mathrm{accuracy} = \frac{1}{n} \sum_{i=1}^{n} \min(1, m_{-i} / 3)$

so that of ten answers 1, 2, 3 or 4 equal ones give .3, .6, .9 or 1.
Source: Antol et al. 2015, arXiv:1505.00468, and `vqaEval.py` of GT-Vision-Lab/VQA, whose two versions differ in
what they normalise before they compare:

    current    if the answers are not all the same string: prediction and answers, in full; else neither
    older      the prediction, in full; the answers' punctuation alone, and that only if they are not all the same

LAVIS has the older one, and lmms-eval normalises everything always: no two of the three give the same numbers.

With fewer than four answers even the right one, given by all, scores less than 1, and a single answer always 0: such
questions are refused by `check`. `PLAIN` names the accuracy that suits them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.metrics.accuracy import Accuracy

VARIANTS = ("current", "older")
# Stands before an answer of nothing or of blanks, since an example's answers must hold text: T5's tokenizers take it for a
# blank, so that what is learned is to say nothing.
NOTHING = "\N{ZERO WIDTH SPACE}"
PLAIN = "plain"  # no VQA accuracy, but `Accuracy`: 1 for any of the answers, to the letter
LEAST, PUBLISHED = 4, 10  # answers a question: from which on 1 can be reached, and of published data
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'  # neither the colon nor the apostrophe
NUMBERS = {"none": "0"} | {
    word: str(k) for k, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
ARTICLES = ("a", "an", "the")
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd've he'd
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
# The official table mends a word that lacks one of its apostrophes, and in one case takes a needed one away.
CONTRACTIONS = {
    word[:k] + word[k + 1 :]: word for word in _CONTRACTED.split() for k, c in enumerate(word) if c == "'"
} | {"somebody'd": "somebodyd"}


class VqaAccuracy(Accuracy):
    """The mean over leave-one-out sets of min(1, matches / 3), overall and by tag.

    An example holds all that people answered, each as often as it was given; their order does not matter. Fewer
    than ten, or more, are scored as the official code does: over as many leave-one-out sets as there are answers. `check`
    refuses examples with fewer than four.
    Values: as those of `Accuracy`, from 0 to 1 where the official code prints per cent.

    Args:
        variant: `current` or `older`, see above.
        by: tags to break down by.
    Raises:
        ValueError: if there is no such variant.
    """

    def __init__(self, *, variant: str = "current", by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(by=by, **kwargs)
        self.variant = choose(variant, VARIANTS, "variant")

    def score(self, prediction: str, example: Example) -> float:
        """The prediction's accuracy."""
        said = _clean(prediction.removeprefix(NOTHING))
        answers = [answer.removeprefix(NOTHING) for answer in example.answers]
        if self.variant == "older":
            said = normalise(said)
            if len(set(answers)) > 1:
                answers = [strip_punctuation(answer) for answer in answers]
        else:
            answers = [_clean(answer) for answer in answers]
            if len(set(answers)) > 1:
                said, answers = normalise(said), [normalise(answer) for answer in answers]
        matches = answers.count(said)
        left_out = [matches - (answer == said) for answer in answers]
        return sum(min(1.0, others / 3) for others in left_out) / len(answers)

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> str | None:
        """Warn of fewer answers a question than the ten of published data.

        Raises:
            ValueError: if a question has fewer than four.
        """
        few = [e for e in examples if len(e.answers) < LEAST]
        if few:
            given = len(few[0].answers)
            raise ValueError(
                f"{len(few)} of {len(examples)} questions have fewer than {LEAST} answers, such as {few[0].id} with {given}: "
                f"VQA accuracy leaves one out and asks for three others that agree, so that the right answer scores "
                f"{(given - 1) / 3:.2f} at most. Set benchmark.variant={PLAIN}, which counts a match with any answer as 1."
            )
        if fewer := sum(len(e.answers) < PUBLISHED for e in examples):
            return (
                f"{fewer} of {len(examples)} questions have fewer than {PUBLISHED} answers: VQA accuracy is not comparable with "
                f"published numbers, which are over {PUBLISHED}"
            )
        return None


def _clean(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=2**16)
def strip_punctuation(text: str) -> str:
    """The official punctuation step: '1,000 dogs, cats' -> '1000 dogs cats', 'red,white' -> 'red white'.

    A mark goes if it touches a blank anywhere in the text, or if the text holds a comma between digits; else a
    blank takes its place. Then full stops go, unless a digit follows.
    """
    thousands = re.search(r"\d,\d", text) is not None
    kept = text
    for mark in PUNCTUATION:
        touches = f"{mark} " in text or f" {mark}" in text
        kept = kept.replace(mark, "" if touches or thousands else " ")
    # At most 32: the official call hands a flag of that value to where `sub` takes a count.
    return re.sub(r"\.(?!\d)", "", kept, count=32)


@lru_cache(maxsize=2**16)
def normalise(text: str) -> str:
    """The official steps in full: punctuation, lower case, numbers in digits, no articles, apostrophes mended."""
    words = [NUMBERS.get(word, word) for word in strip_punctuation(text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
