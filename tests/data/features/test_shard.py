import functools
import json
import operator

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bridgelab.data.features.shard import KINDS, PAGE, ForeignError, Shard, _digest, row_bytes, write_shard


def written(folder, dtype="float32", rows=5, patches=4, dim=3):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, patches, dim)) * (100 if dtype == "int8" else 1)
    features = torch.from_numpy(numbers.clip(-127, 127)).to(getattr(torch, dtype))
    bits = features.view(torch.int16) if dtype == "bfloat16" else features
    moments = rng.normal(size=(2, rows, dim)).astype(np.float32)
    images = [f"{k:064x}" for k in range(rows)]
    path = write_shard(
        folder, encoder="an encoder", dtype=dtype, images=images,
        mean=moments[0], variance=moments[1], features=bits.numpy(), scale=moments[1] if dtype == "int8" else None,
    )  # fmt: skip
    return path, images, moments, features


@pytest.mark.parametrize("dtype", KINDS)
def test_safetensors_own_reader_reads_it(tmp_path, dtype):
    path, images, moments, features = written(tmp_path, dtype)
    with safe_open(path, "pt") as file:
        assert file.get_tensor("features").dtype == getattr(torch, dtype)
        assert torch.equal(file.get_tensor("features"), features)
        assert torch.equal(file.get_tensor("mean"), torch.from_numpy(moments[0]))
        assert torch.equal(file.get_tensor("variance"), torch.from_numpy(moments[1]))
        assert (set(file.keys()) == {"mean", "variance", "scale", "features"}) == (dtype == "int8")
        assert file.metadata()["images"].split() == images
        assert file.metadata()["encoder"] == "an encoder"


@pytest.mark.parametrize("dtype", KINDS)
def test_what_was_written_is_read(tmp_path, dtype):
    path, images, moments, features = written(tmp_path, dtype)
    shard = Shard(path)
    assert shard.images == images
    assert shard.dtype == dtype
    assert shard.features.dtype == KINDS[dtype][1]
    assert (shard.mean == moments[0]).all()
    assert (shard.variance == moments[1]).all()
    assert (shard.scale is None) if dtype != "int8" else (shard.scale == moments[1]).all()
    read = torch.from_numpy(shard.features.copy()).view(features.dtype)
    assert torch.equal(read, features)
    assert shard.damaged(range(5)) == []


def test_rows_begin_with_a_page(tmp_path):
    for rows in (1, 7):
        path, *_, features = written(tmp_path, rows=rows)
        assert (path.stat().st_size - features.numel() * 4) % PAGE == 0


def test_the_same_rows_make_the_same_file(tmp_path):
    assert written(tmp_path / "a")[0].read_bytes() == written(tmp_path / "b")[0].read_bytes()
    assert written(tmp_path / "a")[0] == written(tmp_path / "a")[0]
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_every_byte_is_vouched_for(tmp_path):
    """Whatever byte is changed: the header is refused, or the row is known."""
    path, *_, features = written(tmp_path)
    content = path.read_bytes()
    row = features[0].numel() * 4
    start = len(content) - 5 * row
    moments = start - 2 * 5 * 3 * 4
    rng = np.random.default_rng(0)
    edges = [0, 7, 8, moments - 1, moments, start, len(content) - 1]
    for position in {*edges, *rng.integers(0, len(content), 60)}:
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        if position < moments:
            with pytest.raises(ValueError, match="header is damaged"):
                Shard(path)
        else:
            inside = (position - moments) // 12 % 5 if position < start else (position - start) // row
            assert Shard(path).damaged(range(5)) == [inside]


def rewritten(path, key, value):
    """The file with another value in its header, named anew: as somebody writes it who means harm."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    told = json.loads(content[8:end])
    *place, last = key.split(".")
    node = functools.reduce(operator.getitem, place, told)
    node.pop(last) if value is None else node.__setitem__(last, value)
    header = json.dumps(told).encode()
    header = len(header).to_bytes(8, "little") + header
    path.unlink()
    path = path.with_name(f"{_digest(header)}.safetensors")
    path.write_bytes(header + content[end:])
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("__metadata__", None), ("__metadata__", []), ("__metadata__.encoder", None), ("__metadata__.encoder", 3),
        ("__metadata__.images", "00 11"), ("__metadata__.images", 5), ("__metadata__.checksums", ""),
        ("__metadata__.checksums", "zz " * 5), ("__metadata__.checksums", "fffffffff " * 5), ("mean", None),
        ("mean.dtype", "F16"), ("mean.shape", [5, 4]), ("features.dtype", "I64"), ("features.shape", [5, 0, 3]),
        ("features.shape", [5, 4]), ("features.shape", "shape"), ("features.data_offsets", [0]),
        ("features.data_offsets", [-240, 0]), ("features.data_offsets", ["a", "b"]), ("variance.data_offsets", [0, 1e300]),
    ],
)  # fmt: skip
def test_a_header_that_tells_nonsense_is_none_of_the_stores(tmp_path, key, value):
    path = rewritten(written(tmp_path)[0], key, value)
    with pytest.raises(ForeignError, match="has a header that is none of the feature store's"):
        Shard(path)


@pytest.mark.parametrize(
    ("dtype", "key", "value"),
    [("int8", "scale", None), ("int8", "scale.dtype", "I8"), ("int8", "scale.shape", [5, 4]), ("float32", "features.dtype", "I8")],
)  # fmt: skip
def test_codes_without_their_scales_are_none_of_the_stores(tmp_path, dtype, key, value):
    path = rewritten(written(tmp_path, dtype)[0], key, value)
    with pytest.raises(ForeignError, match="has a header that is none of the feature store's"):
        Shard(path)


@pytest.mark.parametrize("dtype", KINDS)
def test_a_rows_size_is_what_the_file_grows_by(tmp_path, dtype):
    (few, *_), (many, *_) = (
        written(tmp_path / str(rows), dtype, rows=rows, patches=64, dim=16) for rows in (10, 20)
    )
    start = [8 + int.from_bytes(path.read_bytes()[:8], "little") for path in (few, many)]
    size = [path.stat().st_size - header for path, header in zip((few, many), start, strict=True)]
    assert size[1] - size[0] == 10 * row_bytes(64, 16, dtype)


@pytest.mark.parametrize("cut", [1, 48, 49, 5 * 48, 5 * 48 + 1, 5 * 48 + 120])
def test_of_a_file_cut_short_the_whole_rows_are_known(tmp_path, cut):
    path = written(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    shard = Shard(path)
    lost = -(-min(cut, 5 * 48) // 48)
    assert shard.rows == 5
    assert len(shard.features) == 5 - lost
    found = shard.damaged(range(5))
    assert found == list(range(5 - lost, 5))
    path.write_bytes(content[:100])
    with pytest.raises(ValueError, match="header is damaged"):
        Shard(path)


def test_a_removed_file_stays_readable(tmp_path):
    path, *_, features = written(tmp_path)
    shard = Shard(path)
    path.unlink()
    shard.release()
    assert (shard.features == features.numpy()).all()
    with pytest.raises(FileNotFoundError):
        shard.damaged([0])
