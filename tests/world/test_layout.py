import numpy as np
import pytest

from bridgelab.world.layout import COMPACT, GRID, LAYOUTS, WORDS, cut_words, write_patch_like, write_scene
from bridgelab.world.scene import HALF_WIDTH, sample_scene
from bridgelab.world.words import scene_words


@pytest.fixture(params=range(6))
def scene(request):
    return sample_scene(np.random.default_rng(request.param), objects=(3, 10))


@pytest.mark.parametrize("cut", [0.0, 0.4, 1.0])
def test_a_layout_holds_every_word_of_every_object_once(scene, cut):
    every_word = sorted((k, word) for k in range(len(scene.objects)) for word in range(WORDS))
    for form, draw in LAYOUTS.items():
        layout = draw(scene, np.random.default_rng(0), cut)
        words = [(p[0], word) for p in layout if p is not None for word in range(p[1], p[2])]
        assert sorted(set(words)) == every_word
        assert len(words) == len(every_word) or form.startswith("patch_like")
        taken = sum(p is not None for p in layout)
        length = {"short": taken, "compact": taken + COMPACT - len(scene.objects), "patch_like": GRID**2}
        length |= {"patch_like_36": 36, "patch_like_144": 144}
        assert len(layout) == length[form]


@pytest.mark.parametrize(("form", "positions"), [("patch_like_36", 36), ("patch_like", 64)])
def test_a_crowd_is_cut_less_often_until_it_fits(form, positions):
    crowd = sample_scene(np.random.default_rng(0), objects=(16, 16))
    layout = LAYOUTS[form](crowd, np.random.default_rng(0), 1.0)
    assert len(layout) == positions
    words = {(p[0], word) for p in layout if p is not None for word in range(p[1], p[2])}
    assert words == {(k, word) for k in range(16) for word in range(WORDS)}


def test_words_are_cut_by_their_chance():
    rng = np.random.default_rng(0)
    assert cut_words(3, 0.0, rng) == [(3, 0, WORDS)]
    assert cut_words(3, 1.0, rng) == [(3, k, k + 1) for k in range(WORDS)]
    number = np.mean([len(cut_words(0, 0.4, rng)) for _ in range(2000)])
    assert number == pytest.approx(1 + 0.4 * (WORDS - 1), abs=0.1)


@pytest.mark.parametrize("cut", [0.0, 1.0])
@pytest.mark.parametrize(
    ("form", "grid"), [("patch_like_36", 6), ("patch_like", GRID), ("patch_like_144", 12)]
)
def test_patch_like_positions_follow_the_picture(scene, form, grid, cut):
    """Far rows come first; where one position is enough for an object, it stands in its cell or next to it."""
    layout = LAYOUTS[form](scene, np.random.default_rng(0), cut)
    where = {}
    for at, piece in enumerate(layout):
        if piece is not None:
            where.setdefault(piece[0], []).append(at)
    depth = [scene.objects[k].y for k in where]
    first = [places[0] for places in where.values()]
    assert np.corrcoef(depth, first)[0, 1] < -0.8
    if cut == 0:
        for k, places in where.items():
            cell = grid * (
                grid - 1 - int((scene.objects[k].y + HALF_WIDTH) / (2 * HALF_WIDTH) * grid * 0.999)
            )
            assert min(abs(place - cell) for place in places) < 2 * grid


def phrases(text):
    words = [word for word in text.split() if word != "."]
    return [" ".join(words[k : k + WORDS]) for k in range(0, len(words), WORDS)]


@pytest.mark.parametrize("form", LAYOUTS)
def test_a_written_scene_names_every_object(scene, form):
    if form == "patch_like_36" and len(scene.objects) > 6:
        with pytest.raises(ValueError, match=r"positions of 36\. Write such scenes in the compact form"):
            write_scene(scene, form, np.random.default_rng(1))
        return
    names = phrases(write_scene(scene, form, np.random.default_rng(1)))
    assert set(names) == set(scene_words(scene))
    assert len(names) == len(scene.objects) or form.startswith("patch_like")


def test_patch_like_words_are_the_same_each_time_and_take_every_patch(scene):
    words = " . ".join(scene_words(scene))
    assert write_patch_like(words) == write_patch_like(words)
    assert len(write_patch_like(words).split()) == GRID**2
    assert set(phrases(write_patch_like(words))) == set(scene_words(scene))


def test_too_many_objects_for_the_patches_are_refused():
    crowd = sample_scene(np.random.default_rng(0), objects=(12, 12))
    with pytest.raises(
        ValueError, match=r"12 objects take 72 positions of 64\. Write such scenes in the compact form"
    ):
        write_patch_like(" . ".join(scene_words(crowd)))


def test_words_of_another_benchmark_have_no_place_on_patches():
    with pytest.raises(ValueError, match="is not an object in words"):
        write_patch_like("box 1 : a yellow circle")


def test_an_unknown_form_is_refused(scene):
    with pytest.raises(ValueError, match=r"form='prose': must be one of short, compact, patch_like"):
        write_scene(scene, "prose", np.random.default_rng(0))
