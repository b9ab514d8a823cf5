import pytest
import torch

from bridgelab.explain.nearest_words import nearest_words


def words_of(tiny_text, rows):
    ids, _ = tiny_text.tokenize(rows)
    return tiny_text.embed(ids[:, : len(rows[0].split())])


def test_tokens_that_are_words_are_named(tiny_text):
    rows = ["red cube", "blue sphere"] * 10
    tokens = 3 * words_of(tiny_text, rows)  # of another length
    result = nearest_words(tokens, tiny_text, rows)
    assert dict(result.most) == {"red": 0.25, "cube": 0.25, "blue": 0.25, "sphere": 0.25}
    assert result.cosine.value == pytest.approx(1)
    assert result.cosine_of_words < 0.99
    assert result.named.value == 1
    assert result.named_elsewhere.value == 0  # the next image has the other things


def test_the_gap_is_between_means_of_unit_vectors(tiny_text):
    table = tiny_text.model.shared.weight
    both = torch.nn.functional.normalize(table, dim=1).mean(0)
    every = nearest_words(5 * table[None].repeat(4, 1, 1), tiny_text)
    assert every.gap.value == pytest.approx(0, abs=1e-6)
    assert every.named is None
    one = nearest_words(table[None, 4:5].repeat(4, 3, 1), tiny_text)
    expected = torch.nn.functional.normalize(table[4], dim=0) - both
    assert one.gap.value == pytest.approx(expected.norm().item(), rel=1e-5)


def test_special_tokens_have_a_name_and_no_scene_is_no_naming(tiny_text):
    tokens = tiny_text.embed(torch.zeros(3, 2, dtype=torch.long))
    result = nearest_words(tokens, tiny_text, ["red cube", None, "blue cube"])
    assert result.most == (("(special)", 1.0),)
    assert result.named is None
    # No token's word occurs in a scene.
    assert nearest_words(tokens, tiny_text, ["red", "blue", "a"]).named is None
