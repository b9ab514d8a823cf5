import numpy as np
import pytest
import torch
from PIL import Image

from bridgelab.data.features.encoding import encode, rounded
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.online import OnlineFeatures
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.world.render import render, sample_visible_scene


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for k in range(7):
        paths.append(str(tmp_path / f"{k}.png"))
        size = (8, 8, 3) if k != 4 else (6, 9, 3)
        Image.fromarray(rng.integers(0, 255, size, dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int8"])
def test_they_are_the_stores(tmp_path, images, tiny_vision, dtype):
    store = FeatureStore(tmp_path / "store", tiny_vision, dtype=dtype).features(images)
    online = OnlineFeatures.checked(tiny_vision, images, dtype=dtype, batch_size=2)
    rows = [4, 0, 6, 0]
    assert torch.equal(online.get(rows), store.get(rows))
    assert online.get(rows).dtype == store.get(rows).dtype
    assert (len(online), online.images) == (len(store), store.images)
    chosen = [images[5], images[1]]
    assert torch.equal(online.subset(chosen).get([1]), store.subset(chosen).get([1]))
    for a, b in ((online, store), (online.subset(chosen), store.subset(chosen))):
        torch.testing.assert_close(a.mean, b.mean)
        torch.testing.assert_close(a.std, b.std)


def test_an_image_that_is_asked_for_twice_is_encoded_once_a_call(images, tiny_vision):
    online = OnlineFeatures.checked(tiny_vision, images, dtype="float32")
    online.get([1, 1, 2, 1])
    assert tiny_vision.seen == 2


def test_features_can_be_trained_on(images, tiny_vision):
    layer = torch.nn.Linear(tiny_vision.dim, 2)
    layer(OnlineFeatures.checked(tiny_vision, images, dtype="float32").get([0, 1])).sum().backward()
    assert layer.weight.grad is not None


def test_broken_images_are_listed_or_left_out(images, tiny_vision):
    with open(images[2], "wb"):
        pass
    with pytest.raises(ValueError, match=r"(?s)1 of 7 images can't be used.*2\.png can't be read"):
        OnlineFeatures.checked(tiny_vision, images, dtype="float32")
    online = OnlineFeatures.checked(tiny_vision, images, dtype="float32", skip=True)
    assert online.images == images[:2] + images[3:]
    assert list(online.left_out) == [images[2]]


def test_with_the_real_encoder_to_the_last_bit_at_the_same_batch_shape(tmp_path):
    """The shipped ViT: equal bits where it sees as many images at once, 1e-5 where it sees another number of them."""
    rng = np.random.default_rng(0)
    paths = []
    for k in range(8):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(paths[-1])
    vision = OpenClipVision()
    store = FeatureStore(tmp_path / "store", vision, dtype="float32", batch_size=4).features(paths)
    by_four = torch.cat(
        [OnlineFeatures.checked(vision, paths, dtype="float32").get(r) for r in ((0, 1, 2, 3), (4, 5, 6, 7))]
    )
    assert torch.equal(store.get(range(8)), by_four)  # each among other neighbours than in the store
    one_by_one = torch.cat([encode(vision, [np.array(Image.open(path))]) for path in paths])
    for other in (one_by_one, OnlineFeatures.checked(vision, paths, dtype="float32").get(range(8))):
        error = (store.get(range(8)) - other).abs().amax((1, 2)) / other.abs().amax((1, 2))
        assert error.max() < 1e-5
    kept = FeatureStore(tmp_path / "store", vision, batch_size=4).features(paths)
    assert torch.equal(kept.get(range(8)), by_four.bfloat16())


def test_what_bfloat16_costs_is_small_beside_what_a_bridge_sees(tmp_path):
    """The shipped ViT on its own world, standardised: an error under a hundredth of each channel's deviation."""
    patches = encode(
        OpenClipVision(),
        [render(sample_visible_scene(np.random.default_rng(k), image_index=k)) for k in range(4)],
    )
    error = (rounded(patches, "bfloat16", ["a"] * 4).float() - patches).square().mean((0, 1)).sqrt()
    assert (error / patches.flatten(0, 1).std(0)).max() < 0.01


def test_images_of_any_sizes_fill_a_batch_and_do_not_change_each_others_features(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40 + 13 * k, 120 - 9 * k, 3), dtype=np.uint8) for k in range(4)]
    paths = [str(tmp_path / f"{k}.png") for k in range(4)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    vision, seen = OpenClipVision(), []
    vision.register_forward_pre_hook(lambda _, pixels: seen.append(len(pixels[0])))
    found = FeatureStore(tmp_path / "store", vision, dtype="float32").features(paths)
    assert seen == [4]
    for k, image in enumerate(images):  # in a batch of its own size alone
        alone = vision.patches(torch.from_numpy(np.stack([image] * 4)))[0]
        torch.testing.assert_close(found.get([k])[0], alone, atol=1e-5, rtol=1e-5)
