import numpy as np
import pytest

from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.questions.generate import draw_question, draw_questions
from bridgelab.world.questions.program import answer
from bridgelab.world.scene import MARGIN, relationships, sample_scene
from bridgelab.world.vocabulary import words
from bridgelab.world.words import column, parse_words, row, scene_words
from bridgelab.world.write import scene_record


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(5)
    return [sample_scene(rng, image_index=k) for k in range(60)]


def test_the_words_alone_decide_every_answer(scenes):
    import random

    rng, balance, number = random.Random(0), Balance(), 0
    for scene in scenes:
        parsed = scene_record(parse_words(scene_words(scene)), "val")
        for question in draw_questions(scene_record(scene, "val"), rng, balance, number=20):
            assert answer(list(question.program), parsed) == question.answer, question.text
            number += 1
    assert number >= 1000


def test_relations_read_from_the_words_are_the_scene_s(scenes):
    for scene in scenes:
        assert relationships(parse_words(scene_words(scene))) == relationships(scene)


def test_every_pair_is_apart_on_both_axes_and_shares_no_column_or_row(scenes):
    for scene in scenes:
        for axis, word in ((lambda o: o.x, column), (lambda o: o.y, row)):
            at = np.sort([axis(o) for o in scene.objects])
            assert np.diff(at).min() >= MARGIN
            assert len({word(v) for v in at}) == len(at)


def test_every_word_of_every_family_is_in_the_vocabulary(scenes):
    import random

    rng, known = random.Random(1), set(words())
    for family in FAMILIES:
        texts = [draw_question(scene_record(s, "val"), rng, Balance(), family=family) for s in scenes[:20]]
        used = {word for question in texts if question for word in [*question.text.split(), question.answer]}
        assert used, f"{family}: no question in 20 scenes"
        assert used <= known, used - known


def test_words_that_are_not_an_object_are_refused():
    with pytest.raises(ValueError, match="'large pink metal cube c07 r13' is not an object in words"):
        parse_words(["large pink metal cube c07 r13"])


def test_too_many_objects_are_refused():
    with pytest.raises(ValueError, match=r"objects=\(3, 40\): must be a range within 1 to"):
        sample_scene(np.random.default_rng(0), objects=(3, 40))
