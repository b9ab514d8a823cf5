import json

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bridgelab.train.record import (
    MetricsCsv,
    claim,
    config_hash,
    is_flat,
    provenance,
    write_json,
    write_predictions,
)

CONFIG = OmegaConf.create(
    {"seed": 0, "paths": {"data": "/a"}, "benchmark": {"root": "${paths.data}/world"}, "train": {"lr": 0.1}}
)


def changed(key, value):
    config = CONFIG.copy()
    OmegaConf.update(config, key, value)
    return config


def test_the_hash_tells_choices_and_not_places():
    assert config_hash(CONFIG) == config_hash(changed("paths.data", "/b"))
    assert config_hash(CONFIG) == config_hash(OmegaConf.create(dict(reversed(list(CONFIG.copy().items())))))
    assert config_hash(CONFIG) != config_hash(changed("train.lr", 0.2))
    assert config_hash(CONFIG) != config_hash(changed("seed", 1))


def test_a_directory_is_claimed_by_one_config(tmp_path):
    assert not claim(tmp_path, CONFIG)
    assert OmegaConf.load(tmp_path / "config.yaml").benchmark.root == "/a/world"
    assert not claim(tmp_path, changed("paths.data", "/b"))
    with pytest.raises(
        ValueError, match=r"another config \(hash \w+, this one \w+; they differ in train\.lr\).*study="
    ):
        claim(tmp_path, changed("train.lr", 0.2))
    write_json(tmp_path / "metrics.json", {})
    assert claim(tmp_path, CONFIG)
    with pytest.raises(ValueError, match=r"they differ in seed, train\.lr"):
        claim(tmp_path, OmegaConf.merge(CONFIG, {"seed": 1, "train": {"lr": 3}}))


def test_json_is_whole_or_not_there(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_log_is_on_disk_at_once_and_can_be_rewound(tmp_path):
    log = MetricsCsv(tmp_path)
    for step in (1, 2, 3):
        log.log_metrics({"train/loss": 1 / step, "epoch": 0}, step)
        assert len(pd.read_csv(tmp_path / "metrics.csv")) == step
    log.log_metrics({"val/accuracy": 0.5, "val/loss": 2.0}, 3)
    log.log_metrics({"epoch": 1}, 4)
    MetricsCsv(tmp_path).rewind(2)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].tolist() == [1, 2]


def test_predictions_keep_a_tag_that_only_some_have(tmp_path):
    rows = [{"id": "a", "score": 1.0, "tag_hops": 2}, {"id": "b", "score": 0.5}]
    write_predictions(tmp_path / "p.parquet", rows)
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["id"].tolist() == ["a", "b"]
    assert table["tag_hops"][0] == 2
    assert pd.isna(table["tag_hops"][1])


def test_provenance_outside_of_git(tmp_path):
    found = provenance(tmp_path)
    assert found["git_sha"] is None
    assert found["versions"]["torch"]


@pytest.mark.parametrize(
    ("curve", "flat"),
    [
        ([], False),
        ([(100, 0.9)], False),
        ([(80, 0.700), (90, 0.705), (100, 0.709)], True),
        ([(80, 0.700), (90, 0.709), (100, 0.710001)], False),
        ([(50, 0.5), (100, 0.505)], True),
    ],
)
def test_flat_is_less_than_a_point_over_the_last_fifth(curve, flat):
    assert is_flat(curve) is flat
