import pytest

from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.world.questions.families import FAMILIES

SHARES = {"question": 10, "caption": 1, "look_up": 2}


@pytest.fixture(scope="module")
def chunk():
    return lessons("train", 0, 0, scenes=20, shares=SHARES)


def test_a_chunk_is_the_same_each_time_and_no_split_repeats_another(chunk):
    assert chunk == lessons("train", 0, 0, scenes=20, shares=SHARES)
    other = {lesson.scene.objects for lesson in lessons("val", 0, 0, scenes=20, shares=SHARES)}
    assert not other & {lesson.scene.objects for lesson in chunk}


def test_every_family_is_taught():
    many = lessons("train", 1, 0, scenes=40, shares=SHARES)
    assert {lesson.family for lesson in many} >= set(FAMILIES)
