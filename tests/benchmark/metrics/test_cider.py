"""CIDEr-D against the published scorer's numbers, a slow reference from the equations, and closed forms."""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.benchmark.metrics.cider import cider_d

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
GOLDEN = SHARED / "golden_scorers" / "caption_clipscore_example.json"


def slow_cider_d(predictions, references):
    """The paper's equations with dictionaries and loops; captions are split at blanks."""

    def ngrams(text, n):
        words = text.split()
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    items, scores = len(predictions), []
    frequency = Counter()
    for group in references:
        frequency.update({gram for text in group for n in range(1, 5) for gram in ngrams(text, n)})

    def weights(text, n):
        return {
            gram: count * (math.log(items) - math.log(max(1, frequency[gram])))
            for gram, count in ngrams(text, n).items()
        }

    for prediction, group in zip(predictions, references, strict=True):
        total = 0.0
        for text in group:
            delta = sum(ngrams(prediction, 2).values()) - sum(ngrams(text, 2).values())
            for n in range(1, 5):
                h, r = weights(prediction, n), weights(text, n)
                norm = math.sqrt(sum(w * w for w in h.values())) * math.sqrt(sum(w * w for w in r.values()))
                dot = sum(min(h[gram], r[gram]) * r[gram] for gram in h if gram in r)
                total += math.exp(-(delta**2) / 72) * dot / norm / 4 if norm else 0.0
        scores.append(10 * total / len(group))
    return scores


@pytest.mark.parametrize("quality", ["good", "bad"])
def test_published_scorer(quality):
    if not GOLDEN.exists():
        pytest.skip(f"the published scorer's numbers are not here: {GOLDEN}")
    golden = json.loads(GOLDEN.read_text())
    images = list(golden["refs"])
    mean, scores = cider_d([golden[quality][i] for i in images], [golden["refs"][i] for i in images])
    expected = golden[f"expected_{quality}"]
    assert mean == pytest.approx(expected["CIDEr-D"], abs=5e-7)
    assert scores == pytest.approx([expected["CIDEr-D_per_image"][i] for i in images], abs=5e-5)


sentence = st.lists(st.sampled_from(["red", "cube", "left", "of", "a", "sphere"]), max_size=12).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(sentence, st.lists(sentence, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_equals_the_equations(corpus):
    predictions, references = [item[0] for item in corpus], [item[1] for item in corpus]
    mean, scores = cider_d(predictions, references)
    expected = slow_cider_d(predictions, references)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    assert mean == pytest.approx(np.mean(expected), abs=1e-9)
    assert np.all(scores >= 0)
    assert np.all(scores <= 10 + 1e-9)


def test_captions_that_are_tokenised_already():
    assert cider_d(["a -lrb- b", "c"], [["a -lrb- b"], ["c"]], split=str.split)[1] == pytest.approx(
        [7.5, 2.5]
    )
    assert cider_d(["(a", "x"], [["-lrb- a"], ["x"]], split=str.split)[0] == 1.25


def test_a_perfect_caption_scores_ten():
    texts = ["a b c d e", "f g h i j"]
    assert cider_d(texts, [[text] for text in texts])[1] == pytest.approx([10, 10])


def test_the_length_penalty_counts_bigrams():
    # Every n-gram is in one item alone, so the IDF is ln 2 throughout. 'a a' against 'a': one bigram against
    # none, clipped unigrams: cos = min(2, 1) * 1 / (2 * 1) = 1/2, so 10/4 * exp(-1/72) / 2.
    scores = cider_d(["a a", "x"], [["a"], ["b"]])[1]
    assert scores == pytest.approx([10 / 4 * math.exp(-1 / 72) / 2, 0])
    # Empty against one word: no bigram on either side and no shared n-gram: 0, not NaN.
    assert cider_d(["", "x"], [["a"], ["b"]])[1] == pytest.approx([0, 0])


def test_words_that_all_items_share_weigh_nothing():
    references = [["the cube"], ["the sphere"]]
    assert cider_d(["the", "the"], references)[0] == 0
    assert cider_d(["cube", "sphere"], references)[0] > 0


def test_one_item_is_no_corpus():
    assert cider_d(["a red cube"], [["a red cube"]])[0] == 0


def test_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="2 predictions for 1 lists of references"):
        cider_d(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="0 predictions"):
        cider_d([], [])
    with pytest.raises(ValueError, match=r"references\[1\] is \[\]"):
        cider_d(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="give \\[reference\\] for a single one"):
        cider_d(["a", "b"], ["a", "b"])
