import mmap
import os

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.maintenance import info
from bridgelab.speed import large_store, main, store


@pytest.fixture
def noise(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROWS", 64)
    return store.write_store(tmp_path / "noise", 3), tmp_path / "noise"


def test_every_way_reads_every_row(noise, monkeypatch):
    """Whatever the order: each way of reading has as many bytes to bring."""
    made, folder = noise
    read = []
    monkeypatch.setattr(made, "get", lambda rows: read.append(np.array(rows)))
    rows = list(store.read_rows(made, folder))
    ways = {row[0] for row in rows}
    assert len(ways) == 4
    whole = np.concatenate(read)
    assert len(whole) == len(made) * 3 * store.TIMES * (2 if len(rows) == 8 else 1) or len(rows) == 4
    assert (np.bincount(whole) == np.bincount(whole)[0]).all()


def test_rows_are_ratios_to_the_plain_read_and_say_what_the_cache_was(noise):
    rows = list(store.read_rows(*noise))
    for cache in ("cold", "warm"):
        found = [dict(zip(store.READ_COLUMNS, row, strict=True)) for row in rows if row[1] == cache]
        assert cache == "cold" or len(found) == 4
        if found:
            assert found[0]["of a plain read"] == "100%"
            for row in found:
                share = float(row["of a plain read"].removesuffix("%")) / 100
                rate, whole, half = float(row["GB/s"]), float(found[0]["GB/s"]), 0.0051  # of the last digit
                assert (rate - half) / (whole + half) - half <= share
                assert (share - half) * (whole - half) <= rate + half


def test_dropping_is_believed_only_where_it_is_seen(noise, monkeypatch):
    paths = sorted(noise[1].glob("*.safetensors"))
    seen = iter([True, *[False] * len(paths)])  # one is still being read ahead, and gone at the second try
    with monkeypatch.context() as patch:
        patch.setattr(store, "_cached", lambda path: next(seen))
        assert store.drop(paths) is True
    assert list(seen) == []
    monkeypatch.setattr(store, "TRIES", 1)
    with open(paths[0], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as used:
        assert sum(used[::4096]) >= 0
        assert store.drop(paths) is False  # pages in use are not dropped


def test_memory_is_of_this_process(noise):
    times, size, own, grown = store.memory_row(1, *noise)
    assert times == "1×"
    assert float(size) == pytest.approx(3 * 64 * 64 * 160 * 2 / 1e6, rel=0.2)
    assert 0 <= float(own) <= float(grown) < 200


def test_a_large_store_holds_every_image(tmp_path):
    """Here of 2,000 images; `bridgelab bench` has 100,000."""
    row = large_store.large_store_row(2000, "int8", tmp_path)
    told = dict(zip(large_store.LARGE_COLUMNS, row, strict=True))
    (stored,) = info(tmp_path / "store")
    assert (stored.images, stored.row) == (2000, store.ROW)
    assert float(told["MB on disk"]) == pytest.approx(2000 * 64 * 160 / 1e6, rel=0.25)
    # Each image has the features of its own colour, whichever shard it went to.
    encoder = large_store.Synthetic(*store.ROW)
    paths = [str(tmp_path / "images" / f"{k}.ppm") for k in (1999, 0, 256, 70)]
    found = FeatureStore(tmp_path / "store", encoder, dtype="int8").features(paths).get([0, 1, 2, 3])
    colours = torch.tensor([[1999 % 256, 1999 // 256, 0], [0, 0, 0], [0, 1, 0], [70, 0, 0]]) / 255
    noise = encoder.noise
    expected = noise[0] + (colours @ torch.tensor([1.0, 0.1, 0.01]))[:, None, None] * noise[1]
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert (found[0] - found[3]).abs().max() > 0.2


def test_an_epoch_is_timed_from_the_store_and_online(tmp_path):
    conf = os.path.join(os.environ["BRIDGELAB_ROOT"], "conf")
    own = [*main.SMALL_WORLD, f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features"]
    own += ["benchmark.images.train=4", "train.batch_size=8"]
    with initialize_config_dir(conf, version_base="1.3"):
        row = store.epoch_row(compose("train", [*own, "bridge=linear"]), "cpu")
    found = dict(zip(store.EPOCH_COLUMNS[1:], row, strict=True))
    assert int(found["steps"]) >= 1
    assert 1 <= int(found["images a step"]) <= 4
    assert float(found["ratio"]) > 0
