"""The weights that come with the package are the ones that their page tells of."""

import json

import numpy as np
import pytest
import torch

from bridgelab.bridge.words import Words
from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.text.t5 import ASSETS, SHIPPED, T5
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.world.layout import write_scene
from bridgelab.world.questions.families import FAMILIES


@pytest.fixture(scope="module")
def cards():
    return {
        side: json.loads((ASSETS / f"{side}_card.json").read_text()) for side in (*SHIPPED.values(), "vision")
    }


def test_the_page_is_what_the_cards_say(tmp_path):
    for card in ASSETS.glob("*_card.json"):
        (tmp_path / card.name).write_bytes(card.read_bytes())
    said = write_page(tmp_path).read_text().split("## Size")[0]
    assert (ASSETS / "README.md").read_text().split("## Size")[0] == said


def test_fingerprints_are_those_on_the_page(cards):
    page = (ASSETS / "README.md").read_text()
    built_by_side = {folder: T5(path) for path, folder in SHIPPED.items()} | {"vision": OpenClipVision()}
    for side, built in built_by_side.items():
        assert cards[side]["fingerprint"] == built.fingerprint
        assert f"`{built.fingerprint}`" in page


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("miniature", "compact"),
        ("miniature", "patch_like"),
        ("miniature_prose", "compact"),
        ("miniature_dense", "compact"),
    ],
)
def test_a_sample_of_questions_gives_the_accuracy_on_the_page(cards, path, form):
    """By the path that a bridge takes: the scene's words as a prefix of vectors, then the question."""
    text = T5(path)
    bridge = Words(text.dim, text.dim, num_tokens=0)
    made = lessons("test", 7, 0, scenes=20, shares={"question": 10, "caption": 0, "look_up": 0})[:200]
    rng = np.random.default_rng(0)
    right = []
    for start in range(0, len(made), 50):
        part = made[start : start + 50]
        with torch.no_grad():
            prefix = bridge(text.embed_words([write_scene(lesson.scene, form, rng) for lesson in part]))
            ids, mask = text.tokenize([lesson.prompt for lesson in part])
            said = text.model.generate(
                inputs_embeds=torch.cat([prefix, text.embed(ids)], 1),
                attention_mask=torch.cat([torch.ones(prefix.shape[:2]), mask.float()], 1),
                max_new_tokens=3,
                do_sample=False,
            )
        answers = text.decode(said)
        right += [answer == lesson.target for answer, lesson in zip(answers, part, strict=True)]
    of_families = cards[SHIPPED[path]]["words"][form]["families"]
    expected = np.mean([hits / asked for name, (hits, asked) in of_families.items() if name in FAMILIES])
    assert np.mean(right) == pytest.approx(expected, abs=3.3 * np.sqrt(expected * (1 - expected) / 200))
