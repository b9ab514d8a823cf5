import random
from collections import Counter

import numpy as np

from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.questions.generate import draw_questions
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.write import scene_record


def test_answers_are_balanced_within_each_family():
    rng, balance = random.Random(0), Balance()
    for k in range(250):
        scene = sample_visible_scene(np.random.default_rng([9, k]))
        draw_questions(scene_record(scene, "val"), rng, balance)
    assert set(balance.families) == set(FAMILIES)
    # A family waits for an answer that is rare in it, so the slowest is a little behind.
    assert min(balance.families.values()) >= 0.9 * max(balance.families.values())
    for (family, function, hint), counts in balance.answers.items():
        total = sum(counts.values())
        if function == "count" or total < 20:
            continue
        possible = len(possible_answers(function))
        assert max(counts.values()) <= total / possible + 1.5, (family, function, hint, counts)


def possible_answers(function):
    values = {"query_color": 8, "query_shape": 3, "query_size": 2, "query_material": 2}
    return range(values.get(function, 2))


def test_counts_of_answers_are_spread():
    """No count takes more than half of a family's answers where several are possible."""
    rng, balance = random.Random(1), Balance()
    for k in range(120):
        draw_questions(scene_record(sample_visible_scene(np.random.default_rng([8, k])), "val"), rng, balance)
    for (family, function, hint), counts in balance.answers.items():
        if function == "count":
            assert max(counts.values()) <= 0.5 * sum(counts.values()) + 2, (family, hint, Counter(counts))
