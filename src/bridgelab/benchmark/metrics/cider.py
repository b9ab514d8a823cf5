r"""CIDEr-D, the metric of COCO captions, without Java.

For n-grams of length n = 1..4, with $h_k$ the count of n-gram k in the prediction, $r_k$ its count in one
reference, $d_k$ the number of items with a reference that holds it, and N the number of items:

$g_k(c) = c_k \, (\ln N - \ln \max(1, d_k))$

$\mathrm{sim}_n = e^{-(l_h - l_r)^2 / 2\sigma^2}
\frac{\sum_k \min(g_k(h), g_k(r)) \, g_k(r)}{\lVert g(h) \rVert \, \lVert g(r) \rVert}$

and the item's score is 10 times the mean of sim over its references and over n.
Source: Vedantam et al. 2015, arXiv:1411.5726, section 4 and appendix; sigma = 6. The published scorer, whose numbers
every table reports, measures the lengths $l$ in *bigrams* (words less one, and 0 for the empty sentence). So does this
one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bridgelab.benchmark.metrics.ptb_tokenizer import tokenize

MAX_N = 4
SIGMA = 6.0


def cider_d(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    split: Callable[[str], list[str]] = tokenize,
) -> tuple[float, np.ndarray]:
    """Score captions against their references, with document frequencies from these references.

    An item is one image with all its references. With a single item every weight is ln 1 = 0, and so is the score: the
    metric needs a corpus.

    Args:
        predictions: one caption per item; may be empty.
        references: for each item at least one reference.
        split: returns a caption's words; `str.split` for captions that are already tokenised.
    Returns:
        The mean over items, and the score of each item (float64 [items]), from 0 to 10.
    Raises:
        ValueError: if the lengths differ, there is no prediction, or an item has no reference.
    """
    _check(predictions, references)
    items = len(predictions)
    # All texts in one list: predictions first, then references. `item` holds the item of each text.
    per_item = np.array([len(group) for group in references])
    item = np.concatenate([np.arange(items), np.repeat(np.arange(items), per_item)])
    words, length = _encode([*predictions, *(text for group in references for text in group)], split)
    text_of_word = np.repeat(np.arange(len(item)), length)
    bigrams = np.maximum(length - 1, 0)
    reference_item = item[items:]
    penalty = np.exp(-((bigrams[reference_item] - bigrams[items:]) ** 2) / (2 * SIGMA**2))

    similarity = np.zeros(len(item) - items)  # one per reference, summed over n
    ngram, start = words, np.arange(len(words))  # the n-gram at each start, as a dense number
    for n in range(1, MAX_N + 1):
        if n > 1:
            # Extend by one word, unless the text ends before it. Numbers are made dense again at each length, so they
            # are exact (no hash) and never overflow.
            inside = start + n - 1 < len(words)
            start, ngram = start[inside], ngram[inside]
            inside = text_of_word[start] == text_of_word[start + n - 1]
            start, ngram = start[inside], ngram[inside]
            longer = ngram * (words.max(initial=0) + 1) + words[start + n - 1]
            _, ngram = np.unique(longer, return_inverse=True)
        similarity += penalty * _cosine(text_of_word[start], ngram, item, items)

    per_reference = 10.0 * similarity / MAX_N
    scores = np.bincount(reference_item, weights=per_reference, minlength=items) / per_item
    return float(scores.mean()), scores


def _check(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(references):
        raise ValueError(
            f"{len(predictions)} predictions for {len(references)} lists of references. CIDEr-D pairs them "
            "by position: give one list of references for each prediction."
        )
    if not predictions:
        raise ValueError("0 predictions. CIDEr-D is a mean over items: give at least one caption.")
    for index, group in enumerate(references):
        if isinstance(group, str) or len(group) == 0:
            raise ValueError(
                f"references[{index}] is {group!r}. Each item needs a list of one reference or more: "
                "give [reference] for a single one, or leave the item out."
            )


def _encode(texts: Sequence[str], split: Callable[[str], list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of all texts as numbers [words], and the number of words of each text [texts]."""
    vocabulary: dict[str, int] = {}
    encoded: dict[str, list[int]] = {}  # captions repeat, and tokenising takes most of the time
    rows = []
    for text in texts:
        if text not in encoded:
            encoded[text] = [vocabulary.setdefault(word, len(vocabulary)) for word in split(text)]
        rows.append(encoded[text])
    flat = [word for row in rows for word in row]
    return np.array(flat, dtype=np.int64), np.array([len(row) for row in rows], dtype=np.int64)


def _cosine(text: np.ndarray, ngram: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    """Return the clipped cosine of each reference with its item's prediction, for one n [references]."""
    texts, ngrams = len(item), int(ngram.max(initial=0)) + 1
    # The n-grams of each text with their counts, in order of text.
    pair, count = np.unique(text * ngrams + ngram, return_counts=True)
    text, ngram = pair // ngrams, pair % ngrams
    predicted = text < items

    # An n-gram once per item.
    in_items = np.unique(ngram[~predicted] * items + item[text[~predicted]]) // items
    document_frequency = np.bincount(in_items, minlength=ngrams)
    # One logarithm of the ratio, so that an n-gram of every item weighs exactly 0 and not a rounding error.
    weight = count * np.log(items / np.maximum(1, document_frequency))[ngram]
    norm = np.sqrt(np.bincount(text, weights=weight**2, minlength=texts))

    # A prediction's text number is its item's number, so its pairs are sorted by (item, n-gram). Look up the references'
    # n-grams among them.
    hypothesis, hypothesis_weight = pair[predicted], weight[predicted]
    text, ngram, weight = text[~predicted], ngram[~predicted], weight[~predicted]
    key = item[text] * ngrams + ngram
    index = np.minimum(np.searchsorted(hypothesis, key), max(len(hypothesis) - 1, 0))
    shared = hypothesis[index] == key if len(hypothesis) else np.zeros(len(key), dtype=bool)
    product = np.zeros(len(key))
    product[shared] = np.minimum(hypothesis_weight[index[shared]], weight[shared]) * weight[shared]
    numerator = np.bincount(text - items, weights=product, minlength=texts - items)
    norms = norm[item[items:]] * norm[items:]
    return np.divide(numerator, norms, out=np.zeros(len(norms)), where=norms > 0)
