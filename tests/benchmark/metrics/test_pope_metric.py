"""POPE's metric against the official script's steps, and what it makes of free text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.pope_metric import PopeMetric, parse_yes_no


def example(k, answer, setting="random"):
    return Example(str(k), ("/x.png",), "is there a dog ?", (answer,), "answer", {"setting": setting})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("No, there is none.", "no"),
        ("There is not, as far as I see, a dog. Yes", "no"),
        ("Yes. There is no doubt.", "yes"),
        ("Well, no.", "no"),
        ("nothing", "yes"),
        ("NO", "yes"),
        ("no!", "yes"),
        ("", "yes"),
        (".no", "yes"),
        ("is\nno", "yes"),
    ],
)
def test_free_text_is_read_as_the_official_script_does(text, read):
    assert parse_yes_no(text) == read


texts = st.sampled_from(["yes", "no", "No, it is not.", "not", "Yes. no", "a dog", ""])


@given(st.lists(st.tuples(texts, st.sampled_from(["yes", "no"])), min_size=1, max_size=30))
def test_the_five_values_are_counts(pairs):
    """evaluate.py's counts, where it does not divide by 0."""
    metric = PopeMetric(by=("setting",))
    metric.update([text for text, _ in pairs], [example(k, label) for k, (_, label) in enumerate(pairs)])
    values = metric.compute()
    table = [(parse_yes_no(text), label) for text, label in pairs]
    tp, fp = table.count(("yes", "yes")), table.count(("yes", "no"))
    tn, fn = table.count(("no", "no")), table.count(("no", "yes"))
    assert values["accuracy"] == pytest.approx((tp + tn) / len(pairs))
    assert values["yes_ratio"] == pytest.approx((tp + fp) / len(pairs))
    assert values["precision"] == pytest.approx(tp / (tp + fp) if tp + fp else 0)
    assert values["recall"] == pytest.approx(tp / (tp + fn) if tp + fn else 0)
    assert values["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp else 0)
    assert values["f1/setting=random"] == values["f1"]


def test_labels_that_are_all_alike_are_cautioned_and_others_refused():
    metric = PopeMetric()
    alike = [example(k, "no") for k in range(3)]
    assert metric.check(alike) == "all 3 labels are 'no': precision, recall and F1 say nothing"
    assert metric.check([*alike, example(3, "yes")]) is None
    with pytest.raises(ValueError, match="label 'maybe' must be 'yes' or 'no'"):
        metric.check([example(0, "maybe")], scores_only=True)


def test_by_setting():
    examples = [example(k, "yes" if k % 2 else "no", "popular" if k < 2 else "random") for k in range(4)]
    metric = PopeMetric(by=("setting",))
    metric.update(["yes", "yes", "no", "yes it is"], examples)
    values = metric.compute()
    assert (values["accuracy"], values["accuracy/setting=popular"], values["accuracy/setting=random"]) == (
        0.75,
        0.5,
        1,
    )
    assert (values["yes_ratio/setting=popular"], values["precision/setting=popular"]) == (1, 0.5)
    assert metric.score("No, thanks", examples[0]) == 1
