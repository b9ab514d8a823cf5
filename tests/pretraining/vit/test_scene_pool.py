import numpy as np
import pytest

from bridgelab.pretraining.vit import scene_pool
from bridgelab.pretraining.vit.scene_pool import open_pool, pool_scene
from bridgelab.world.render import render


def test_the_pool_holds_the_scenes_of_its_seed_whoever_renders_them(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_pool, "SHARD", 3)
    pool = open_pool(tmp_path, scenes=5, seed=9, size=24, objects=(3, 4), workers=1)
    assert len(pool) == 6
    assert np.array_equal(pool.take(np.array([4]))[0], render(pool_scene(9, 4, (3, 4)), 24))
    (tmp_path / "facts-0001.npy").unlink()  # as if it had been interrupted
    again = open_pool(tmp_path, scenes=5, seed=9, size=24, objects=(3, 4), workers=1)
    assert np.array_equal(pool.facts, again.facts)


def test_a_pool_of_another_renderer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_pool, "SHARD", 2)
    open_pool(tmp_path, scenes=2, seed=9, size=24, objects=(3, 4), workers=1)
    monkeypatch.setattr(scene_pool, "render", lambda scene, size: render(scene, size) // 2)
    with pytest.raises(ValueError, match=r"holds the pool .*'renderer'.*Remove it"):
        open_pool(tmp_path, scenes=2, seed=9, size=24, objects=(3, 4), workers=1)
