"""The rules of an example's fields, and the messages when they are broken."""

import pytest

from bridgelab.benchmark.example import Example, check_examples, choose, fill

GOOD = {
    "id": "a",
    "images": ("/x.png",),
    "prompt": "what ?",
    "answers": ("yes",),
    "kind": "answer",
    "tags": {"hops": 1},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "needs a name"),
        ({"images": ()}, "at least one"),
        ({"images": ("x.png",)}, "absolute paths"),
        ({"prompt": " "}, "must hold text"),
        ({"answers": ()}, "strings with text"),
        ({"answers": ("yes", "")}, "strings with text"),
        ({"answers": (3,)}, "strings with text"),
        ({"kind": "guess"}, "answer, caption, true_false"),
        ({"kind": "true_false"}, "must be of true, false"),
        ({"kind": "choice"}, "at least two that differ"),
        ({"kind": "choice", "choices": ("yes", "yes", "no")}, "at least two that differ"),
        ({"kind": "choice", "choices": ("a", "b")}, "answers=.* must be among its choices"),
        ({"choices": ("yes", "no")}, "must be empty unless kind is 'choice'"),
        ({"tags": {"hops": True}}, "must be str or int"),
        ({"tags": {"hops": 0.5}}, "must be str or int"),
        ({"tags": {"hops": 2**63}}, "must be of 64 bits"),
    ],
)
def test_a_field_that_breaks_its_rule(change, message):
    assert Example(**GOOD).words is None
    with pytest.raises(ValueError, match=message):
        Example(**(GOOD | change))


def test_choices():
    assert Example(**(GOOD | {"kind": "choice", "choices": ("no", "yes")})).choices == ("no", "yes")
    assert Example(**(GOOD | {"kind": "true_false", "answers": ("true",)})).choices == ("true", "false")
    assert Example(**GOOD).choices == ()


def test_check_examples(tmp_path):
    (tmp_path / "there.png").touch()
    there = Example(**(GOOD | {"images": (str(tmp_path / "there.png"),)}))
    assert check_examples([there], "file") == [there]
    with pytest.raises(ValueError, match="file holds 0 examples"):
        check_examples([], "file")
    with pytest.raises(ValueError, match="'a' occurs 2 times"):
        check_examples([there, there], "file")


def test_small_checks():
    assert fill("q: {question}", "question", "{is} it ?") == "q: {is} it ?"
    with pytest.raises(ValueError, match=r"prompt='q' must hold \{question\}"):
        fill("q", "question", "is it ?")
    assert choose("a", ["a"], "kind") == "a"
    with pytest.raises(ValueError, match="kind='b': must be one of a, c"):
        choose("b", ("a", "c"), "kind")
