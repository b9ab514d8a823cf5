import numpy as np
import pytest

from bridgelab.explain.probe.objects import (
    FIELDS,
    effective_rank,
    guessed,
    jackknife,
    layout,
    rank_over_images,
    rank_within_image,
    read_off,
    readable,
)
from bridgelab.explain.probe.ridge import Probe, gram
from bridgelab.world.scene import ATTRIBUTES

COLORS = ATTRIBUTES["color"]


def scenes(images, seed):
    """Objects with one in most fields, none or two in some."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        objects = []
        for field in range(FIELDS**2):
            for _ in range(rng.choice(3, p=(0.3, 0.6, 0.1))):
                x, y = 24 * (field % FIELDS) + 24 * rng.random(), 24 * (field // FIELDS) + 24 * rng.random()
                own = {name: words[rng.integers(len(words))] for name, words in ATTRIBUTES.items()}
                objects.append(own | {"pixel_coords": [x, y, 9.0]})
        made.append(objects)
    return made


@pytest.fixture(scope="module")
def layouts():
    return tuple(layout(scenes(n, seed), [(96, 96)] * n) for n, seed in ((400, 0), (120, 1)))


def carrying(of, seed):
    """Tokens that carry color and place of the object of each field, and noise."""
    rng = np.random.default_rng(seed)
    hot = np.eye(len(COLORS))[of.attributes["color"]] * (of.single >= 0)[..., None]
    tokens = np.concatenate([hot, of.place * (of.single >= 0)[..., None]], -1)
    return tokens + 0.01 * rng.normal(size=tokens.shape)


def test_what_tokens_carry_is_read_and_what_they_do_not_carry_is_a_guess(layouts):
    fit, new = layouts
    found = readable(carrying(fit, 0), carrying(new, 1), fit, new)
    chance = guessed(fit, new)
    assert found["color"].value > 0.99
    assert found["place"].value > 0.9
    for name in ("shape", "size", "material"):
        low, high = found[name].interval
        assert low - 0.02 < 1 / len(ATTRIBUTES[name]) < high + 0.02
    assert chance["color"].value < 0.2
    assert found["occupied"].value > chance["occupied"].value + 0.1
    assert chance["place"].value == 0


def test_tokens_of_noise_carry_nothing(layouts):
    fit, new = layouts
    rng = np.random.default_rng(2)
    found = readable(rng.normal(size=(400, 16, 8)), rng.normal(size=(120, 16, 8)), fit, new)
    chance = guessed(fit, new)
    for name in ("occupied", *ATTRIBUTES):
        assert found[name].value < chance[name].value + 0.05
    assert found["place"].value < 0.05


def test_objects_by_field():
    things = [
        {"pixel_coords": [5.0, 5.0, 9.0], "shape": "cube", "size": "large", "color": "red", "material": "metal"},
        {"pixel_coords": [95.0, 30.0, 9.0], "shape": "sphere", "size": "small", "color": "blue", "material": "rubber"},
        {"pixel_coords": [97.0, 31.0, 9.0], "shape": "sphere", "size": "small", "color": "blue", "material": "rubber"},
    ]  # fmt: skip
    found = layout([things], [(96, 96)])
    assert np.flatnonzero(found.occupied[0]).tolist() == [0, 7]
    assert found.single[0, 0] == 0
    assert found.single[0, 7] == -1  # two of them, one beyond the edge
    assert found.attributes["color"][0, 0] == COLORS.index("red")
    assert found.place[0, 0] == pytest.approx([5 / 24, 5 / 24])


def test_effective_rank_of_known_matrices():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    assert effective_rank(np.eye(9)[:5]) == pytest.approx(5)
    assert effective_rank(turn[:, :3] @ turn[:3]) == pytest.approx(3)
    assert effective_rank(np.outer(rng.normal(size=4), rng.normal(size=6))) == pytest.approx(1)
    assert effective_rank(np.zeros((3, 3))) == 0
    p = np.array([0.7, 0.2, 0.1])
    assert effective_rank(np.diag(p)) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_ranks_of_tokens():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(60, 1, 12)), 5, 1)  # each image's tokens are one
    within, over = rank_within_image(same), rank_over_images(same)
    assert within.value == pytest.approx(1)
    low, high = over.interval
    assert 9 < low < over.value < high < 13
    plane = rng.normal(size=(60, 5, 2)) @ rng.normal(size=(2, 12)) + 100  # the mean is taken off
    assert rank_over_images(plane).value == pytest.approx(2, abs=0.1)


def test_a_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = jackknife(lambda chosen: float(values[chosen].mean()), 400)
    assert found.value == pytest.approx(values.mean())
    assert found.contrast.error == pytest.approx(2 / 20, rel=0.35)  # of 20 groups
    with pytest.raises(ValueError, match="1 image: a jackknife leaves some out"):
        jackknife(lambda chosen: 0.0, 1)


def test_a_probe_finds_the_token_that_tells_among_many_that_do_not():
    """Where all tokens are read together, one that carries a color drowns among 63 of noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=(2, 150))
    tokens = rng.normal(size=(2, 150, 64, 24))
    tokens[:, :, 40, :4] += 3 * np.eye(4)[labels]
    targets = {"color": np.eye(4)[labels[0]]}
    said = read_off(tokens[0], targets, tokens[1])["color"].argmax(1)
    assert (said == labels[1]).mean() > 0.85
    flat = tokens.reshape(2, 150, -1)
    drowned = Probe(gram(flat[0], flat[0])).predict(np.eye(4)[labels[0]], gram(flat[1], flat[0])).argmax(1)
    assert (drowned == labels[1]).mean() < 0.7


def test_a_probe_reads_all_tokens_where_each_tells_a_part():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(2, 300, 16, 3))
    whole = tokens[..., 0].mean(2)[..., None]
    said = read_off(tokens[0], {"mean": whole[0]}, tokens[1])["mean"]
    assert np.corrcoef(said[:, 0], whole[1][:, 0])[0, 1] > 0.99
