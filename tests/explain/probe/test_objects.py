import numpy as np
import pytest

from bridgelab.explain.probe.objects import FIELDS, guess_objects, layout, probe_objects, probe_tokens
from bridgelab.explain.probe.ridge import RidgeProbe, gram
from bridgelab.world.scene import ATTRIBUTES

COLORS = ATTRIBUTES["color"]


def scenes(images, seed):
    """Return scenes with one object in most fields, and none or two in some."""
    rng = np.random.default_rng(seed)
    created = []
    for _ in range(images):
        objects = []
        for field in range(FIELDS**2):
            for _ in range(rng.choice(3, p=(0.3, 0.6, 0.1))):
                x, y = 24 * (field % FIELDS) + 24 * rng.random(), 24 * (field // FIELDS) + 24 * rng.random()
                own = {name: words[rng.integers(len(words))] for name, words in ATTRIBUTES.items()}
                objects.append(own | {"pixel_coords": [x, y, 9.0]})
        created.append(objects)
    return created


@pytest.fixture(scope="module")
def layouts():
    return tuple(layout(scenes(n, seed), [(96, 96)] * n) for n, seed in ((400, 0), (120, 1)))


def carrying(of, seed):
    """Return tokens that carry color and place of each field's object, and noise."""
    rng = np.random.default_rng(seed)
    hot = np.eye(len(COLORS))[of.attributes["color"]] * (of.single >= 0)[..., None]
    tokens = np.concatenate([hot, of.place * (of.single >= 0)[..., None]], -1)
    return tokens + 0.01 * rng.normal(size=tokens.shape)


def test_what_tokens_carry_is_read_and_what_they_do_not_carry_is_a_guess(layouts):
    fit, new = layouts
    result = probe_objects(carrying(fit, 0), carrying(new, 1), fit, new)
    chance = guess_objects(fit, new)
    assert result["color"].value > 0.99
    assert result["place"].value > 0.9
    for name in ("shape", "size", "material"):
        low, high = result[name].interval
        assert low - 0.02 < 1 / len(ATTRIBUTES[name]) < high + 0.02
    assert chance["color"].value < 0.2
    assert result["occupied"].value > chance["occupied"].value + 0.1
    assert chance["place"].value == 0


def test_tokens_of_noise_carry_nothing(layouts):
    fit, new = layouts
    rng = np.random.default_rng(2)
    result = probe_objects(rng.normal(size=(400, 16, 8)), rng.normal(size=(120, 16, 8)), fit, new)
    chance = guess_objects(fit, new)
    for name in ("occupied", *ATTRIBUTES):
        assert result[name].value < chance[name].value + 0.05
    assert result["place"].value < 0.05


def test_objects_by_field():
    things = [
        {"pixel_coords": [5.0, 5.0, 9.0], "shape": "cube", "size": "large", "color": "red", "material": "metal"},
        {"pixel_coords": [95.0, 30.0, 9.0], "shape": "sphere", "size": "small", "color": "blue", "material": "rubber"},
        {"pixel_coords": [97.0, 31.0, 9.0], "shape": "sphere", "size": "small", "color": "blue", "material": "rubber"},
    ]  # fmt: skip
    result = layout([things], [(96, 96)])
    assert np.flatnonzero(result.occupied[0]).tolist() == [0, 7]
    assert result.single[0, 0] == 0
    assert result.single[0, 7] == -1  # two of them, one beyond the edge
    assert result.attributes["color"][0, 0] == COLORS.index("red")
    assert result.place[0, 0] == pytest.approx([5 / 24, 5 / 24])


def test_a_probe_finds_the_token_that_tells_among_many_that_do_not():
    """If all tokens are read together, one that carries a color drowns among 63 of noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=(2, 150))
    tokens = rng.normal(size=(2, 150, 64, 24))
    tokens[:, :, 40, :4] += 3 * np.eye(4)[labels]
    targets = {"color": np.eye(4)[labels[0]]}
    outcome = probe_tokens(tokens[0], targets, tokens[1])["color"].argmax(1)
    assert (outcome == labels[1]).mean() > 0.85
    flat = tokens.reshape(2, 150, -1)
    drowned = (
        RidgeProbe(gram(flat[0], flat[0])).predict(np.eye(4)[labels[0]], gram(flat[1], flat[0])).argmax(1)
    )
    assert (drowned == labels[1]).mean() < 0.7


def test_a_probe_reads_all_tokens_where_each_tells_a_part():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(2, 300, 16, 3))
    whole = tokens[..., 0].mean(2)[..., None]
    outcome = probe_tokens(tokens[0], {"mean": whole[0]}, tokens[1])["mean"]
    assert np.corrcoef(outcome[:, 0], whole[1][:, 0])[0, 1] > 0.99
