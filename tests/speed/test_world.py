from hydra import compose, initialize_config_dir

from bridgelab.speed.world import WORLD_COLUMNS, world_row
from bridgelab.training.main import ROOT


def test_a_world_is_made_with_its_features_and_removed_again(tmp_path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["benchmark.images={train:2,val:1,test:1}", "benchmark.processes=1"])
    images, drawn, encoded, together = world_row(config, tmp_path / "default")
    assert images == "4 by 1 process(es)"
    assert int(together) >= max(int(drawn), int(encoded))
    assert len(WORLD_COLUMNS) == 4
    assert not (tmp_path / "default").exists()
