import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bridgelab.data.features import feature_store as features
from bridgelab.data.features.encoding import moments
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.quantization import dequantized, quantized
from bridgelab.data.features.shard import Shard
from bridgelab.data.image_files import file_hash


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for k, shape in enumerate([(8, 8, 3)] * 5 + [(6, 10, 3)] * 2 + [(8, 8, 3)]):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def encoded(encoder, paths):
    return torch.cat([encoder.patches(torch.from_numpy(np.array(Image.open(p)))[None]) for p in paths])


def shards(root):
    return [Shard(path) for path in sorted(root.rglob("*.safetensors"))]


def rows_on_disk(root):
    return Counter(one for shard in shards(root) for one in shard.images)


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position, os.SEEK_SET if position >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(("dtype", "off"), [("bfloat16", 2**-8), ("float16", 2**-11), ("float32", 1e-6)])
def test_features_are_the_encoders_rounded(tmp_path, images, tiny_vision, dtype, off):
    found = FeatureStore(tmp_path / "store", tiny_vision, dtype=dtype, batch_size=3).features(images)
    expected = encoded(tiny_vision, images)
    rows = [7, 0, 5, 5]
    assert found.get(rows).dtype == getattr(torch, dtype)
    torch.testing.assert_close(found.get(rows).float(), expected[rows], atol=1e-6, rtol=off)
    # Moments are of what was not rounded yet.
    torch.testing.assert_close(found.mean, expected.flatten(0, 1).mean(0))
    torch.testing.assert_close(found.std, expected.flatten(0, 1).std(0, correction=0))


def test_8_bit_features_are_within_half_a_step_of_each_channel_in_each_image(tmp_path, images, tiny_vision):
    """Against loops in float64: 127 steps on each side of a channel's mean in its image."""
    found = FeatureStore(tmp_path / "store", tiny_vision, dtype="int8", batch_size=3).features(images)
    read, exact = found.get(range(len(images))), encoded(tiny_vision, images).double().numpy()
    assert read.dtype == torch.float32
    worst = 0.0
    for own, true in zip(read.double().numpy(), exact, strict=True):
        for channel in range(true.shape[1]):
            centred = true[:, channel] - true[:, channel].mean()
            step = np.abs(centred).max() / 127
            off = np.abs(own[:, channel] - true[:, channel]).max()
            assert off <= step / 2 + 1e-6
            worst = max(worst, off / step)
    assert worst > 0.3  # it is rounded
    torch.testing.assert_close(found.mean, torch.from_numpy(exact.mean((0, 1))).float())
    (shard,) = shards(tmp_path / "store")
    assert (shard.features.dtype, shard.scale.dtype) == (np.int8, np.float32)
    assert torch.equal(found.subset([images[6], images[2]]).get([1, 0]), read[[2, 6]])


def test_8_bit_features_of_a_channel_without_differences_are_its_mean():
    patches = torch.full((1, 4, 2), 3.25)
    patches[0, :, 1] = torch.tensor([-1.0, 0.0, 0.0, 1.0])
    mean, _ = moments(patches)
    codes, scale = quantized(patches, mean)
    assert codes[0].T.tolist() == [[0] * 4, [-127, 0, 0, 127]]
    assert torch.equal(dequantized(codes, scale, mean)[..., 0], patches[..., 0])


def test_bfloat16_is_the_default_and_another_is_refused(tmp_path, images, tiny_vision):
    assert FeatureStore(tmp_path, tiny_vision).features(images).get([0]).dtype == torch.bfloat16
    with pytest.raises(
        ValueError, match=r"dtype='int4': must be one of bfloat16, float16, float32, int8.*data\.dtype"
    ):
        FeatureStore(tmp_path, tiny_vision, dtype="int4")


def test_an_image_is_encoded_once_whatever_benchmark_and_run_ask_for_it(tmp_path, images, tiny_vision):
    first = FeatureStore(tmp_path / "store", tiny_vision).features(images[:5])
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "copy.png"  # another benchmark has the same image under another name
    copy.write_bytes(Path(images[3]).read_bytes())
    second = FeatureStore(tmp_path / "store", tiny_vision).features([str(copy), *images[5:], images[0]])
    assert tiny_vision.seen == len(images)
    assert torch.equal(first.get([3, 0]), second.get([0, 4]))
    assert set(rows_on_disk(tmp_path).values()) == {1}


def test_another_encoder_image_or_dtype_is_another_row(tmp_path, images, tiny_vision):
    first = FeatureStore(tmp_path / "store", tiny_vision).features(images)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(images[0])
    second = FeatureStore(tmp_path / "store", tiny_vision).features(images)
    assert not torch.equal(first.get([0]), second.get([0]))
    assert tiny_vision.seen == len(images) + 1
    other = type(tiny_vision)(seed=1)
    third = FeatureStore(tmp_path / "store", other).features(images)
    assert not torch.equal(third.get([1]), second.get([1]))
    FeatureStore(tmp_path / "store", tiny_vision, dtype="float32").features(images)
    assert len(list((tmp_path / "store").iterdir())) == 3


def test_a_part_has_its_own_rows_and_moments(tmp_path, images, tiny_vision):
    whole = FeatureStore(tmp_path / "store", tiny_vision).features(images)
    assert whole.mean is not None
    chosen = [images[6], images[2]]
    part = whole.subset(chosen)
    alone = FeatureStore(tmp_path / "alone", tiny_vision).features(chosen)
    assert part.images == chosen
    assert torch.equal(part.get([0, 1]), whole.get([6, 2]))
    assert torch.equal(part.mean, alone.mean)
    assert torch.equal(part.std, alone.std)
    assert not torch.equal(part.mean, whole.mean)


def test_moments_do_not_depend_on_where_a_row_lies(tmp_path, images, tiny_vision, monkeypatch):
    monkeypatch.setattr("bridgelab.data.features.memory_mapped.CHUNK", 3)
    at_once = FeatureStore(tmp_path / "a", tiny_vision, batch_size=1).features(images)
    for image in reversed(images):
        FeatureStore(tmp_path / "b", tiny_vision).features([image])
    one_by_one = FeatureStore(tmp_path / "b", tiny_vision).features(images)
    assert len(shards(tmp_path / "a")) == 1
    assert len(shards(tmp_path / "b")) == len(images)
    assert torch.equal(at_once.mean, one_by_one.mean)
    assert torch.equal(at_once.std, one_by_one.std)
    assert torch.equal(at_once.get(range(8)), one_by_one.get(range(8)))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_what_was_read_is_not_held(tmp_path, images, tiny_vision):
    def held():
        lines = Path("/proc/self/smaps").read_text().splitlines()
        files = [k for k, line in enumerate(lines) if line.endswith(".safetensors") and str(tmp_path) in line]
        assert files
        return sum(
            int(line.split()[1]) for k in files for line in lines[k : k + 6] if line.startswith("Rss:")
        )

    found = FeatureStore(tmp_path / "store", tiny_vision).features(images)
    found._arrays[0].sum()
    assert held() > 0
    before = found.get(range(8))
    assert held() == 0
    assert torch.equal(found.get(range(8)), before)


def test_several_jobs_make_it_once(tmp_path, images, tiny_vision, monkeypatch):
    monkeypatch.setattr("bridgelab.data.features.claims.GROUP_SIZE", 1)
    own = type(tiny_vision).__call__

    def slow(self, pixels):
        time.sleep(0.05)
        return own(self, pixels)

    monkeypatch.setattr(type(tiny_vision), "__call__", slow)
    made = [FeatureStore(tmp_path / "store", tiny_vision) for _ in range(3)]
    jobs = [
        threading.Thread(target=store.features, args=(images,), kwargs={"part": (k, 3)})
        for k, store in enumerate(made)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert tiny_vision.seen == len(images) == sum(store.encoded for store in made)
    assert sum(store.encoded > 0 for store in made) > 1  # they shared it out
    assert rows_on_disk(tmp_path) == {file_hash(path): 1 for path in images}


WRITERS = textwrap.dedent("""
    import os, sys, time, torch
    from pathlib import Path
    from bridgelab.data.features import claims
    from bridgelab.data.features import feature_store as features
    claims.GROUP, features.ROWS = 4, 4
    class Slow:
        dim, fingerprint = 3, "slow"
        def pixels(self, images):
            return torch.nn.functional.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float(), 2)
        def __call__(self, pixels):
            time.sleep(0.02 * len(pixels))
            return pixels.flatten(2).mT
    images = sorted(map(str, Path(sys.argv[2]).glob("*.png")))
    print("ready", flush=True)
    for line in sys.stdin:  # a fork for each line: torch is imported once
        if pid := os.fork():
            print(pid, flush=True)
            if line == "wait\\n":
                os.waitpid(pid, 0)
                print("over", flush=True)
        else:
            store = features.FeatureStore(Path(sys.argv[1]), Slow(), batch_size=2)
            store.features(images)
            Path(sys.argv[1], f"{os.getpid()}.encoded").write_text(str(store.encoded))
            os._exit(0)
""")


@pytest.fixture
def writers(tmp_path, many):
    """Starts a writer in a process of its own, and gives its number."""
    command = [sys.executable, "-c", WRITERS, str(tmp_path / "store"), str(many)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def start(word="start"):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield start
        process.kill()


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for k in range(160):
        Image.fromarray(rng.integers(0, 255, (6, 6 + k % 3, 3), dtype=np.uint8)).save(folder / f"{k:03d}.png")
    return folder


def test_writers_killed_at_any_moment_leave_a_whole_store(tmp_path, many, writers):
    """Three at a time; each is killed at a random moment, and others take their places."""
    rng = random.Random(0)
    hashes = {file_hash(path) for path in many.glob("*.png")}
    stood = []
    until = time.monotonic() + 300
    for _ in range(3):
        running = [writers() for _ in range(3)]
        files = len(shards(tmp_path / "store")) + rng.randint(0, 4)
        while len(list((tmp_path / "store").rglob("*.safetensors"))) < files:
            assert time.monotonic() < until
            time.sleep(0.005)
        for pid in running:
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(pid, signal.SIGKILL)
        found = rows_on_disk(tmp_path / "store")  # each header is what its name says
        assert set(found) <= hashes
        assert set(found.values()) <= {1}
        assert not any(shard.damaged(range(shard.rows)) for shard in shards(tmp_path / "store"))
        stood.append(sum(found.values()))
    assert 0 < stood[-1] < len(hashes), f"not killed half-way: {stood}"
    last = [writers() for _ in range(2)] + [writers("wait")]
    counts = [tmp_path / "store" / f"{pid}.encoded" for pid in last]
    while not all(path.exists() and path.read_text() for path in counts):
        assert time.monotonic() < until
        time.sleep(0.05)
    # What stood was not made again, and what lacked was made once.
    assert sum(int(path.read_text()) for path in counts) == len(hashes) - stood[-1]
    assert rows_on_disk(tmp_path / "store") == dict.fromkeys(hashes, 1)
    assert not any(shard.damaged(range(shard.rows)) for shard in shards(tmp_path / "store"))


def test_one_that_goes_on_sees_the_batches_that_the_first_would_have_seen(
    tmp_path, images, tiny_vision, monkeypatch
):
    def run(root, fail_after):
        seen, own = [], tiny_vision

        class Watched:
            fingerprint, dim, pixels = "watched", own.dim, staticmethod(own.pixels)

            def __call__(self, batch):
                if len(seen) == fail_after:
                    raise KeyboardInterrupt
                seen.append(batch.clone())
                return own(batch)

        with contextlib.suppress(KeyboardInterrupt):
            FeatureStore(root, Watched(), batch_size=2).features(images)
        return seen

    whole = run(tmp_path / "whole", None)
    monkeypatch.setattr(features, "ROWS", 2)
    cut = run(tmp_path / "cut", 2) + run(tmp_path / "cut", None)
    assert len(whole) == len(cut) == 4
    assert all(torch.equal(a, b) for a, b in zip(whole, cut, strict=True))


def test_a_failed_writer_leaves_no_file(tmp_path, images, tiny_vision, monkeypatch):
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError("cut short")))
    with pytest.raises(OSError, match=r"^cut short$"):
        FeatureStore(tmp_path / "store", tiny_vision).features(images)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.suffix in (".part", ".safetensors")]


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_damaged_row_is_named_and_alone_made_again(tmp_path, images, tiny_vision, caplog, dtype):
    whole = FeatureStore(tmp_path / "store", tiny_vision, dtype=dtype).features(images)
    before, mean = whole.get(range(8)), whole.mean
    (shard,) = shards(tmp_path / "store")
    flip(shard.path, -1)
    broken = images[[file_hash(path) for path in images].index(shard.images[-1])]
    caplog.clear()
    again = FeatureStore(tmp_path / "store", tiny_vision, dtype=dtype)
    found = again.features(images)
    assert again.encoded == 1
    assert f"1 rows are damaged and encoded again: {broken}" in caplog.text
    assert shard.path.name in caplog.text
    assert torch.equal(found.get(range(8)), before)
    assert torch.equal(found.mean, mean)
    assert set(rows_on_disk(tmp_path / "store").values()) == {1}
    assert not shard.path.exists()
    assert (
        FeatureStore(tmp_path / "store", tiny_vision, dtype=dtype).features(images).get([0]).isfinite().all()
    )
    assert tiny_vision.seen == len(images) + 1


def test_a_shard_cut_short_keeps_its_whole_rows(tmp_path, images, tiny_vision):
    before = FeatureStore(tmp_path / "store", tiny_vision).features(images).get(range(8))
    (shard,) = shards(tmp_path / "store")
    os.truncate(shard.path, shard.path.stat().st_size - 3 * shard.features[0].nbytes // 2)
    again = FeatureStore(tmp_path / "store", tiny_vision)
    assert torch.equal(again.features(images).get(range(8)), before)
    assert again.encoded == 2
    (shard,) = (each for each in shards(tmp_path / "store") if each.rows == 6)
    os.truncate(shard.path, 4000)  # in the moments, or the header
    again = FeatureStore(tmp_path / "store", tiny_vision)
    assert torch.equal(again.features(images).get(range(8)), before)
    assert again.encoded == 6


@pytest.mark.parametrize("position", [0, 3, 40])
def test_a_damaged_header_costs_its_shard(tmp_path, images, tiny_vision, caplog, position):
    before = FeatureStore(tmp_path / "store", tiny_vision).features(images[:5]).get(range(5))
    (shard,) = shards(tmp_path / "store")
    FeatureStore(tmp_path / "store", tiny_vision).features(images)
    flip(shard.path, position)
    again = FeatureStore(tmp_path / "store", tiny_vision)
    assert torch.equal(again.features(images).get(range(5)), before)
    assert again.encoded == 5
    assert f"{shard.path}: its header is damaged" in caplog.text


def test_damage_to_a_row_that_nobody_asks_for_is_not_blessed(tmp_path, images, tiny_vision):
    """Another row's damage makes the file be rewritten: what is carried over is what was checked."""
    FeatureStore(tmp_path / "store", tiny_vision).features(images)
    (shard,) = shards(tmp_path / "store")
    row = shard.features[0].nbytes
    flip(shard.path, -1)
    flip(shard.path, -1 - 2 * row)
    last = images[[file_hash(path) for path in images].index(shard.images[-1])]
    asked = FeatureStore(tmp_path / "store", tiny_vision)
    asked.features([last])
    assert asked.encoded == 1
    whole = FeatureStore(tmp_path / "store", tiny_vision)
    found = whole.features(images)
    assert whole.encoded == 1
    expected = encoded(tiny_vision, images).bfloat16()
    assert torch.equal(found.get(range(8)), expected)


def test_another_process_may_take_damage_out_first(tmp_path, images, tiny_vision, monkeypatch):
    before = FeatureStore(tmp_path / "store", tiny_vision).features(images).get(range(8))
    (shard,) = shards(tmp_path / "store")
    flip(shard.path, -1)
    damaged = Shard.damaged

    def faster(self, rows):
        if self.path == shard.path and shard.path.exists():
            monkeypatch.setattr(Shard, "damaged", damaged)
            FeatureStore(tmp_path / "store", tiny_vision).features(images)
        return damaged(self, rows)

    monkeypatch.setattr(Shard, "damaged", faster)
    late = FeatureStore(tmp_path / "store", tiny_vision)
    assert torch.equal(late.features(images).get(range(8)), before)
    assert late.encoded == 0


def test_broken_images_are_listed_before_anything_is_encoded(tmp_path, images, tiny_vision):
    Path(images[4]).write_bytes(b"broken")
    Path(images[1]).unlink()
    with pytest.raises(
        ValueError, match=r"(?s)2 of 8 images can't.*1\.png is missing.*4\.png can't be read.*on_error=skip"
    ):
        FeatureStore(tmp_path / "store", tiny_vision).features(images)
    assert tiny_vision.seen == 0
    assert not list((tmp_path / "store").rglob("*.safetensors"))


def test_broken_images_can_be_left_out_by_name(tmp_path, images, tiny_vision):
    Path(images[4]).write_bytes(b"broken")
    found = FeatureStore(tmp_path / "store", tiny_vision).features(images, skip=True)
    assert found.images == images[:4] + images[5:]
    assert list(found.left_out) == [images[4]]
    assert "can't be read" in found.left_out[images[4]]
    with pytest.raises(ValueError, match=r"(?s)1 images were given, and 1 of them are broken.*4\.png"):
        FeatureStore(tmp_path / "store", tiny_vision).features(images[4:5], skip=True)


def test_an_image_that_changes_meanwhile_is_refused(tmp_path, images, tiny_vision, monkeypatch):
    own = type(tiny_vision).__call__

    def changing(self, pixels):
        for path in images:
            Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "other.png")
            os.replace(tmp_path / "other.png", path)
        return own(self, pixels)

    monkeypatch.setattr(type(tiny_vision), "__call__", changing)
    with pytest.raises(ValueError, match=r"\.png was changed after .* must stay as it is"):
        FeatureStore(tmp_path / "store", tiny_vision, batch_size=1).features(images)


def test_what_overflows_is_refused(tmp_path, images, tiny_vision):
    tiny_vision.weight *= 1e7
    with pytest.raises(
        ValueError, match=r"\d\.png .* must be finite and below 65504 in float16.*vision\.layer"
    ):
        FeatureStore(tmp_path / "store", tiny_vision, dtype="float16").features(images)


def test_a_disk_that_is_too_small_is_refused_at_once(tmp_path, images, tiny_vision, monkeypatch):
    monkeypatch.setattr(features.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(
        ValueError, match=r"8 images of 0\.00 MB need .* paths\.features .*data\.features=online"
    ):
        FeatureStore(tmp_path / "store", tiny_vision).features(images)


def test_no_images_are_refused(tmp_path, tiny_vision):
    with pytest.raises(ValueError, match="0 images"):
        FeatureStore(tmp_path / "store", tiny_vision).features([])
