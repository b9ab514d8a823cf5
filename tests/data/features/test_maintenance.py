import json
import os
import re
import time
from pathlib import Path

import pytest
import torch

from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.maintenance import info, prune, verify
from bridgelab.data.features.shard import PART, Shard, _digest
from bridgelab.runs.locks import locked


@pytest.fixture
def root(tmp_path, images, tiny_vision):
    """A store of two shards."""
    for some in (images[:4], images):
        FeatureStore(tmp_path / "store", tiny_vision).features(some)
    return tmp_path / "store"


def files(root):
    return sorted(root.rglob("*.safetensors"), key=lambda path: Shard(path).rows)


def damage(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_info_tells_what_there_is(root, images, tiny_vision, tmp_path):
    FeatureStore(root, tiny_vision, dtype="float32").features(images[:1])
    (root / "something else").mkdir()
    half, full = info(root)
    assert half.name == f"{tiny_vision.fingerprint[:32]}-bfloat16-v1"
    assert (half.images, half.row, half.shards, half.left) == (6, (4, 6), 2, 0)
    assert half.size == sum(path.stat().st_size for path in (root / half.name).glob("*.safetensors"))
    assert (full.images, full.shards) == (1, 1)
    assert info(tmp_path / "nowhere") == []


def test_verify_names_each_damaged_row(root):
    assert verify(root) == (6, [], [])
    small, large = files(root)
    damage(small, -1)
    damage(large, 20)
    rows, lines, _ = verify(root)
    assert rows == 2
    header, row = sorted(lines, key=lambda line: "row" in line)
    assert header == f"{large}: its header is damaged"
    assert row == f"{small}: row 1, of the image {Shard(small).images[1]}, is damaged"


def test_what_does_not_belong_to_a_store_is_neither_read_nor_removed(
    root, images, tiny_vision, tmp_path, caplog
):
    """Shards of another encoder and of another dtype that lie here, and files of another kind."""
    own = files(root)[0].parent
    before = FeatureStore(root, tiny_vision).features(images).get(range(6))
    other = type(tiny_vision)(seed=1)
    for store in (
        FeatureStore(tmp_path / "b", other),
        FeatureStore(tmp_path / "b", tiny_vision, dtype="float16"),
    ):
        store.features(images)
        for path in files(tmp_path / "b"):
            path.rename(own / path.name)
    (own / "model.safetensors").write_bytes(b"a file of somebody else's")
    (own / "folder.safetensors").mkdir()
    content = json.dumps({"weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    content = len(content).to_bytes(8, "little") + content
    (own / f"{_digest(content)}.safetensors").write_bytes(content)
    there = sorted(own.glob("*.safetensors"))
    rows, damaged, foreign = verify(root)
    assert (rows, damaged, len(foreign)) == (6, [], 5)
    for told in (
        rf"belongs to '{other.fingerprint[:32]}-bfloat16-v1': another encoder's features",
        rf"belongs to '{tiny_vision.fingerprint[:32]}-float16-v1'",
        r"model\.safetensors is not a file of the feature store",
        r"folder\.safetensors is not a file of the feature store",
        rf"{_digest(content)}\.safetensors has a header that is none of the feature store's",
    ):
        assert sum(bool(re.search(told, line)) for line in foreign) == 1
    assert (info(root)[0].images, info(root)[0].left, info(root)[0].foreign) == (6, 0, 5)
    store = FeatureStore(root, tiny_vision)
    assert torch.equal(store.features(images).get(range(6)), before)
    assert store.encoded == 0
    assert caplog.text.count("passed over") == 5
    assert prune(root) == []
    assert sorted(own.glob("*.safetensors")) == there


def test_prune_removes_what_killed_writers_left_and_nothing_else(root, images, tiny_vision):
    folder = files(root)[0].parent
    dead, alive, young = (folder / f"{name}{PART}" for name in ("dead", "alive", "young"))
    for path in (dead, alive, young):
        path.touch()
    for path in (dead, alive):
        os.utime(path, (time.time() - 1000,) * 2)
    with locked(alive):
        os.utime(alive, (time.time() - 1000,) * 2)
        assert [one.left for one in info(root)] == [1]
        assert prune(root) == [f"{dead}: its writer was killed"]
    assert alive.exists()
    assert young.exists()
    assert prune(root) == [f"{alive}: its writer was killed"]
    assert verify(root) == (6, [], [])


def test_prune_takes_damage_out(root, images, tiny_vision):
    small, large = files(root)
    damage(small, -1)
    damage(large, 20)
    assert len(prune(root)) == 2
    assert verify(root) == (1, [], [])
    again = FeatureStore(root, tiny_vision)
    again.features(images)
    assert again.encoded == 5
    assert prune(root) == []


def test_prune_takes_out_rows_that_stand_twice(root, images, tiny_vision):
    before = FeatureStore(root, tiny_vision).features(images).get(range(6))
    FeatureStore(root.parent / "second", tiny_vision).features(images[2:])
    # Where locks don't reach from machine to machine, two may encode an image.
    for path in files(root.parent / "second"):
        path.rename(files(root)[0].parent / path.name)
    assert verify(root)[0] == 10
    assert sum("4 rows, 0 of them damaged" in line or "2 rows" in line for line in prune(root)) > 0
    assert verify(root) == (6, [], [])
    again = FeatureStore(root, tiny_vision)
    assert torch.equal(again.features(images).get(range(6)), before)
    assert again.encoded == 0


def test_a_store_goes_whole_by_name(root, images, tiny_vision):
    name = info(root)[0].name
    with pytest.raises(
        ValueError, match=rf"there is no store 'xx{name}' in .*, which has {name}\. Did you mean '{name}'"
    ):
        prune(root, ["xx" + name])
    with locked(root / name / "claims" / "07.lock"), pytest.raises(ValueError, match="is being written"):
        prune(root, [name])
    found = FeatureStore(root, tiny_vision).features(images)
    assert prune(root, [name]) == [f"{root / name}: whole"]
    assert not (root / name).exists()
    assert found.get([0]).isfinite().all()  # who reads, reads on
    with pytest.raises(ValueError, match=r"there is no store 'a' in .*, which has no store\."):
        prune(root, ["a"])
    assert Path(images[0]).exists()
