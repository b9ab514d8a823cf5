import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from bridgelab.data.features import FeatureStore


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for k, shape in enumerate([(8, 8, 3)] * 5 + [(6, 10, 3)] * 2 + [(8, 8, 3)]):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def test_features_are_the_encoders(tmp_path, images, tiny_vision):
    store = FeatureStore(tmp_path / "store", tiny_vision, images, batch_size=3)
    expected = torch.cat(
        [tiny_vision.patches(torch.from_numpy(np.array(Image.open(p)))[None]) for p in images]
    )
    rows = [7, 0, 5, 5]
    torch.testing.assert_close(store.get(rows).float(), expected[rows], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(store.mean, expected.flatten(0, 1).mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(store.std, expected.flatten(0, 1).std(0, correction=0), atol=1e-4, rtol=1e-4)
    assert store.get(rows).dtype == torch.float16


def test_an_image_is_encoded_once(tmp_path, images, tiny_vision):
    for _ in range(3):
        FeatureStore(tmp_path / "store", tiny_vision, images)
    assert tiny_vision.seen == len(images)


def test_another_encoder_or_image_is_another_store(tmp_path, images, tiny_vision):
    first = FeatureStore(tmp_path / "store", tiny_vision, images)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(images[0])
    second = FeatureStore(tmp_path / "store", tiny_vision, images)
    assert first.key != second.key
    assert not torch.equal(first.get([0]), second.get([0]))
    other = type(tiny_vision)(seed=1)
    assert FeatureStore(tmp_path / "store", other, images).key != second.key


def test_two_jobs_make_it_once(tmp_path, images, tiny_vision):
    slow = tiny_vision.patches

    def patches(batch):
        time.sleep(0.05)
        return slow(batch)

    tiny_vision.patches = patches
    jobs = [
        threading.Thread(
            target=FeatureStore, args=(tmp_path / "store", tiny_vision, images), kwargs={"batch_size": 2}
        )
        for _ in range(3)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert tiny_vision.seen == len(images)


def test_a_killed_writer_leaves_nothing_that_looks_finished(tmp_path, images, tiny_vision):
    script = textwrap.dedent("""
        import sys, time, torch
        from pathlib import Path
        from bridgelab.data.features import FeatureStore
        class Slow:
            dim, fingerprint = 6, sys.argv[2]
            def patches(self, batch):
                print("encoding", flush=True)
                time.sleep(60)
        FeatureStore(Path(sys.argv[1]), Slow(), sys.argv[3:])
    """)
    arguments = [sys.executable, "-c", script, str(tmp_path / "store"), tiny_vision.fingerprint, *images]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout.readline() == "encoding\n"
        process.send_signal(signal.SIGKILL)
    store = FeatureStore(tmp_path / "store", tiny_vision, images)
    assert tiny_vision.seen == len(images)
    assert bool(store.get(range(len(images))).isfinite().all())


def test_a_broken_image_stops_it_before_anything_stands(tmp_path, images, tiny_vision):
    with open(images[4], "wb") as file:
        file.write(b"broken")
    with pytest.raises(ValueError, match=r"4\.png can't be read"):
        FeatureStore(tmp_path / "store", tiny_vision, images)
    assert not list((tmp_path / "store").rglob("index.json"))
    assert not list((tmp_path / "store").rglob("features.npy"))


def test_what_overflows_is_refused(tmp_path, images, tiny_vision):
    tiny_vision.weight *= 1e7
    with pytest.raises(
        ValueError, match=r"0\.png .* must be finite and below 65504 in float16.*vision\.layer"
    ):
        FeatureStore(tmp_path / "store", tiny_vision, images)


def test_no_images_are_refused(tmp_path, tiny_vision):
    with pytest.raises(ValueError, match="0 images"):
        FeatureStore(tmp_path / "store", tiny_vision, [])


def test_a_folder_of_another_key_is_refused(tmp_path, images, tiny_vision):
    store = FeatureStore(tmp_path / "store", tiny_vision, images)
    index = json.loads((store.folder / "index.json").read_text())
    (store.folder / "index.json").write_text(json.dumps(index | {"key": "other"}))
    with pytest.raises(ValueError, match=r"has the key other.*Delete that folder"):
        FeatureStore(tmp_path / "store", tiny_vision, images)
