r"""VQA accuracy: how many of ten annotators gave the answer, with the official codes' normalisation in three variants.

With n answers, and $m_{-i}$ the number of answers other than the i-th that equal the prediction,

$\mathrm{accuracy} = \frac{1}{n} \sum_{i=1}^{n} \min(1, m_{-i} / 3)$

so that 1, 2, 3 or 4 equal answers of ten give .3, .6, .9 or 1.
Source: Antol et al. 2015, arXiv:1505.00468, and `vqaEval.py` of GT-Vision-Lab/VQA. Its two versions differ in what
they normalise before they compare. TextVQA's own code is `TextVQAAccuracyEvaluator` and `EvalAIAnswerProcessor` in
mmf/utils/m4c_evaluators.py of facebookresearch/mmf (2dc099af7ce2):

    current    prediction and answers in full, if the answers are not all the same string; else neither
    older      the prediction in full; of the answers only punctuation, and only if they are not all the same string
    textvqa    prediction and answers in full, always, after removing all commas and question marks and splitting off 's

LAVIS has the older version, and lmms-eval always normalises everything without textvqa's step: no two of the four give
the same numbers.

With fewer than four answers a prediction that equals all of them scores less than 1, and with one answer it scores 0.
`check` therefore refuses such questions; `PLAIN` names the accuracy that suits them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bridgelab.benchmark.example import Example, choose
from bridgelab.benchmark.metrics.accuracy import Accuracy

VARIANTS = ("current", "older", "textvqa")
# Prefix of an empty or blank answer, since an example's answers must hold text. T5's tokenizers read it as a blank, so the
# model learns to say nothing.
EMPTY_ANSWER = "\N{ZERO WIDTH SPACE}"
PLAIN = "plain"  # not VQA accuracy but `Accuracy`: 1 for an exact match with any answer
MIN_ANSWERS = 4  # with fewer, a question's score cannot reach 1
PUBLISHED_ANSWERS = 10
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
# The official table restores a word's one missing apostrophe; in one case it deletes a needed one.
CONTRACTIONS = {
    word[:k] + word[k + 1 :]: word for word in _CONTRACTED.split() for k, c in enumerate(word) if c == "'"
} | {"somebody'd": "somebodyd"}


class VqaAccuracy(Accuracy):
    """The mean over leave-one-out sets of min(1, matches / 3), overall and by tag.

    An example holds the annotators' answers with repetitions, in any order. As in the official code there are as many
    leave-one-out sets as answers, also if these are not ten. `check` refuses examples with fewer than four.
    Values: those of `Accuracy`, from 0 to 1 instead of per cent.

    Args:
        variant: `current`, `older` or `textvqa`; see the module's docstring.
        by: tags to break down by.
    Raises:
        ValueError: if there is no such variant.
    """

    def __init__(self, *, variant: str = "current", by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(by=by, **kwargs)
        self.variant = choose(variant, VARIANTS, "variant")

    def score(self, prediction: str, example: Example) -> float:
        """Return the prediction's accuracy."""
        prediction = prediction.removeprefix(EMPTY_ANSWER)
        answers = [answer.removeprefix(EMPTY_ANSWER) for answer in example.answers]
        if self.variant == "textvqa":
            prediction, answers = _as_textvqa(prediction), [_as_textvqa(answer) for answer in answers]
        elif self.variant == "older":
            prediction = normalise(_clean(prediction))
            if len(set(answers)) > 1:
                answers = [strip_punctuation(answer) for answer in answers]
        else:
            prediction, answers = _clean(prediction), [_clean(answer) for answer in answers]
            if len(set(answers)) > 1:
                prediction, answers = normalise(prediction), [normalise(answer) for answer in answers]
        matches = answers.count(prediction)
        others = [matches - (answer == prediction) for answer in answers]  # without the i-th answer
        return sum(min(1.0, count / 3) for count in others) / len(answers)

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if questions have fewer answers than the ten of published data.

        Raises:
            ValueError: if a question has fewer than four.
        """
        too_few = [e for e in examples if len(e.answers) < MIN_ANSWERS]
        if too_few:
            count = len(too_few[0].answers)
            raise ValueError(
                f"{len(too_few)} of {len(examples)} questions have fewer than {MIN_ANSWERS} answers, such as "
                f"{too_few[0].id} with {count}: VQA accuracy leaves one answer out and needs three others that agree, so the "
                f"right answer scores {(count - 1) / 3:.2f} at most. Set benchmark.variant={PLAIN}, which counts a match "
                "with any answer as 1."
            )
        if fewer := sum(len(e.answers) < PUBLISHED_ANSWERS for e in examples):
            return (
                f"{fewer} of {len(examples)} questions have fewer than {PUBLISHED_ANSWERS} answers: VQA accuracy is not "
                f"comparable with published numbers, which are over {PUBLISHED_ANSWERS}"
            )
        return None


def _clean(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _as_textvqa(text: str) -> str:
    """Return the text after the steps of TextVQA's code: 'Macy's, NY' -> 'macy 's ny'."""
    words = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return normalise(_clean(words))


@lru_cache(maxsize=2**16)
def strip_punctuation(text: str) -> str:
    """Return the text after the official punctuation step: '1,000 dogs, cats' -> '1000 dogs cats', 'red,white' -> 'red white'.

    A mark is deleted if it touches a blank anywhere in the text, or if the text holds a comma between digits; otherwise
    it becomes a blank. Then full stops are deleted, unless a digit follows.
    """
    thousands = re.search(r"\d,\d", text) is not None
    kept = text
    for mark in PUNCTUATION:
        touches = f"{mark} " in text or f" {mark}" in text
        kept = kept.replace(mark, "" if touches or thousands else " ")
    # At most 32: the official call passes a flag of that value as `sub`'s count.
    return re.sub(r"\.(?!\d)", "", kept, count=32)


@lru_cache(maxsize=2**16)
def normalise(text: str) -> str:
    """Return the text after all official steps: punctuation, lower case, numbers in digits, no articles, apostrophes."""
    words = [NUMBERS.get(word, word) for word in strip_punctuation(text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
