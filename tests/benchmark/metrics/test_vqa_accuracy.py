"""VQA accuracy against what both versions of the official code printed, by hand, and against loops over people."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.vqa_accuracy import CONTRACTIONS, VqaAccuracy, normalise, strip_punctuation

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
GOLDEN = SHARED / "golden_scorers"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(),
    reason=f"{GOLDEN} (outputs of official scorers) is not here: set BRIDGELAB_SHARED_DATA",
)


def example(*answers, id="1", **tags):
    return Example(id, ("/x.png",), "?", answers, "answer", tags)


@needs_golden
def test_normalisation_is_the_official_one():
    rows = json.loads((GOLDEN / "vqa_normalisation.json").read_text())
    assert len(rows) > 40
    for row in rows:
        text = row["in"].replace("\n", " ").replace("\t", " ").strip()
        assert (strip_punctuation(text), normalise(text)) == (row["punct"], row["out"])


@needs_golden
@pytest.mark.parametrize("variant", ["current", "older"])
def test_scores_are_the_official_ones(variant):
    golden = json.loads((GOLDEN / "vqa_textvqa_val1000.json").read_text())
    expected = golden[f"expected_{variant}"]
    by_id = {row["question_id"]: row["answer"] for row in golden["results"]}
    examples = [
        example(*(a["answer"] for a in row["answers"]), id=str(row["question_id"]), type=row["answer_type"])
        for row in golden["annotations"]
    ]
    metric = VqaAccuracy(variant=variant, by=("type",))
    predictions = [by_id[int(e.id)] for e in examples]
    metric.update(predictions, examples)
    values = {name: round(100 * value, 2) for name, value in metric.compute().items()}
    overall, of_type = expected["accuracy"]["overall"], expected["accuracy"]["perAnswerType"]
    assert values == {"accuracy": overall} | {f"accuracy/type={k}": v for k, v in of_type.items()}
    scores = {e.id: round(100 * metric.score(p, e), 2) for p, e in zip(predictions, examples, strict=True)}
    assert scores == expected["perQuestion"]


@pytest.mark.parametrize(
    ("matches", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (9, 1), (10, 1)]
)
@pytest.mark.parametrize("variant", ["current", "older", "textvqa"])
def test_matches_of_ten(variant, matches, score):
    answers = ["red"] * matches + [f"colour {k}" for k in range(10 - matches)]
    assert VqaAccuracy(variant=variant).score("red", example(*answers)) == pytest.approx(score)


def test_fewer_than_ten_answers():
    """As many leave-one-out sets as answers: of a single one, nothing is left to match."""
    score = VqaAccuracy().score
    assert score("red", example("red")) == 0
    assert score("red", example("red", "red")) == pytest.approx(1 / 3)
    assert score("red", example("red", "red", "red", "red", "blue")) == 1


@pytest.mark.parametrize(("count", "best"), [(1, "0.00"), (2, "0.33"), (3, "0.67")])
def test_fewer_than_four_answers_are_refused_with_the_plain_accuracy_by_name(count, best):
    """The right answer, given by all, cannot reach 1. The message names its best score."""
    metric, few = VqaAccuracy(), example(*["red"] * count, id="7")
    assert f"{metric.score('red', few):.2f}" == best
    with pytest.raises(
        ValueError,
        match=rf"1 of 2 questions .* 7 with {count}: .* {best} at most\. Set benchmark\.variant=plain",
    ):
        metric.check([example(*["red"] * 10), few], scores_only=True)
    assert Accuracy().score("red", few) == 1


def test_fewer_than_ten_answers_are_cautioned_and_ten_are_not():
    metric = VqaAccuracy()
    assert metric.check([example(*["red"] * 10)]) is None
    caution = metric.check([example(*["red"] * 10), example(*["red"] * 4)])
    assert caution.startswith("1 of 2 questions have fewer than 10 answers: VQA accuracy is not comparable")


def test_what_the_variants_differ_in():
    same, mixed = example(*["Yes"] * 10), example(*["The Cat."] * 9, "dog")
    current, older = VqaAccuracy(), VqaAccuracy(variant="older")
    assert (current.score("Yes", same), current.score("yes", same)) == (1, 0)
    assert (older.score("Yes", same), older.score("yes", same)) == (0, 0)
    assert (current.score("a cat", mixed), older.score("a cat", mixed)) == (1, 0)
    assert older.score("Cat", example(*["cat."] * 9, "dog")) == 1


@pytest.mark.parametrize(
    ("prediction", "answers", "textvqa", "current"),
    [
        ("Beatles", ["the beatles"] * 10, 1, 0),  # unanimous: current compares the strings
        ("the beatles", ["the beatles"] * 10, 1, 1),
        ("Macy's", ["macy's"] * 10, 1, 0),
        ("macy s", ["macy's"] * 10, 0, 0),  # the apostrophe stays: macy 's
        ("Beatles", ["The Beatles"] * 3 + ["beatles", "g", "b", "c", "d", "e", "f"], 1, 1),
        ("1,000", ["1000"] * 2 + [f"a{k}" for k in range(8)], 0.6, 0.6),
        ("red,white", ["redwhite"] * 10, 1, 0),  # the comma goes first; by punctuation it would be a blank
        ("red,white", ["redwhite"] * 2 + [f"a{k}" for k in range(8)], 0.6, 0),
        ("whats up", ["what's up"] * 9 + ["x"], 0, 1),  # what 's is no contraction any more
        ("how many", ["how many?"] * 10, 1, 0),
    ],
)
def test_textvqas_own_code(prediction, answers, textvqa, current):
    """What `TextVQAAccuracyEvaluator` and `VQAEval` return, worked out by hand."""
    of = example(*answers)
    assert VqaAccuracy(variant="textvqa").score(prediction, of) == pytest.approx(textvqa)
    assert VqaAccuracy().score(prediction, of) == pytest.approx(current)


def test_an_answer_of_nothing():
    """Such an answer stands as '.', which the punctuation step empties: as the official code sees it."""
    assert VqaAccuracy().score("the", example(*["."] * 9, "dog")) == 1
    assert VqaAccuracy(variant="older").score("the", example(*["."] * 9, "dog")) == 1


def test_punctuation_by_hand():
    assert strip_punctuation("left; right/left") == "left right left"
    assert strip_punctuation("a, b,c") == "a bc"  # it touches a blank once, so it goes everywhere
    assert strip_punctuation("1,000 and a/b") == "1000 and ab"  # a comma between digits: all marks go
    assert strip_punctuation("3.5 is 3.5.") == "3.5 is 3.5"
    assert strip_punctuation("." * 40) == "." * 8  # the official code takes away 32


def test_contractions():
    assert CONTRACTIONS["couldnt've"] == CONTRACTIONS["couldn'tve"] == "couldn't've"
    assert CONTRACTIONS["ow's'at"] == CONTRACTIONS["'ows'at"] == CONTRACTIONS["'ow'sat"] == "'ow's'at"
    assert (normalise("Whats the oclock"), normalise("somebody'd")) == ("what's o'clock", "somebodyd")
    assert normalise("Ive") == "ive"  # the official table has 'Ive', and looks up what is in lower case
    assert len(CONTRACTIONS) == 114


@given(
    st.lists(st.sampled_from(["red", "blue", "green"]), min_size=1, max_size=12),
    st.sampled_from(["red", "blue", "grey"]),
    st.sampled_from(["current", "older", "textvqa"]),
    st.randoms(),
)
def test_loops_over_people(answers, prediction, variant, chance):
    """Each person is left out in turn by position, as `answer_id` distinguishes equal answers."""
    sets = [answers[:k] + answers[k + 1 :] for k in range(len(answers))]
    expected = sum(min(1, sum(a == prediction for a in others) / 3) for others in sets) / len(sets)
    metric = VqaAccuracy(variant=variant)
    assert metric.score(prediction, example(*answers)) == pytest.approx(expected)
    chance.shuffle(answers)
    assert metric.score(prediction, example(*answers)) == pytest.approx(expected)


def test_bad_input():
    with pytest.raises(ValueError, match="variant='newest': must be one of current, older, textvqa"):
        VqaAccuracy(variant="newest")
