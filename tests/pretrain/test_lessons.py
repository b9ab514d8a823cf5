import numpy as np
import pytest

from bridgelab.pretrain.lessons import COMPACT, GRID, LAYOUTS, WORDS, pieces
from bridgelab.world.scene import HALF_WIDTH, sample_scene


@pytest.fixture(params=range(6))
def scene(request):
    return sample_scene(np.random.default_rng(request.param), objects=(3, 10))


@pytest.mark.parametrize("cut", [0.0, 0.4, 1.0])
def test_a_layout_holds_every_word_of_every_object_once(scene, cut):
    whole = sorted((k, word) for k in range(len(scene.objects)) for word in range(WORDS))
    for form, draw in LAYOUTS.items():
        layout = draw(scene, np.random.default_rng(0), cut)
        words = [(p[0], word) for p in layout if p is not None for word in range(p[1], p[2])]
        assert sorted(set(words)) == whole
        assert len(words) == len(whole) or form == "patch_like"
        taken = sum(p is not None for p in layout)
        length = {"short": taken, "compact": taken + COMPACT - len(scene.objects), "patch_like": GRID**2}
        assert len(layout) == length[form]


def test_words_are_cut_apart_by_their_chance():
    rng = np.random.default_rng(0)
    assert pieces(3, 0.0, rng) == [(3, 0, WORDS)]
    assert pieces(3, 1.0, rng) == [(3, k, k + 1) for k in range(WORDS)]
    number = np.mean([len(pieces(0, 0.4, rng)) for _ in range(2000)])
    assert number == pytest.approx(1 + 0.4 * (WORDS - 1), abs=0.1)


@pytest.mark.parametrize("cut", [0.0, 1.0])
def test_patch_like_positions_follow_the_picture(scene, cut):
    """Far rows come first; where one position is enough for an object, it stands in its cell or next to it."""
    layout = LAYOUTS["patch_like"](scene, np.random.default_rng(0), cut)
    where = {}
    for at, piece in enumerate(layout):
        if piece is not None:
            where.setdefault(piece[0], []).append(at)
    depth = [scene.objects[k].y for k in where]
    first = [places[0] for places in where.values()]
    assert np.corrcoef(depth, first)[0, 1] < -0.8
    if cut == 0:
        for k, places in where.items():
            cell = GRID * (
                GRID - 1 - int((scene.objects[k].y + HALF_WIDTH) / (2 * HALF_WIDTH) * GRID * 0.999)
            )
            assert min(abs(place - cell) for place in places) < 2 * GRID
