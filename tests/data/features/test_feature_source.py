from pathlib import Path

import pytest

from bridgelab.benchmark.example import Example
from bridgelab.data.features import feature_source as features
from bridgelab.data.features.feature_source import broken_images, build_features, image_features, work_part
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.memory_mapped import MappedFeatures
from bridgelab.data.features.online import OnlineFeatures


@pytest.fixture
def benchmark(images, tiny_vision, monkeypatch):
    """A benchmark without train, whose val has each image twice, and the tiny encoder."""

    class Few:
        name, kinds, splits = "few", ("answer", "caption"), ("val", "test", "extra")

        def examples(self, split, kind):
            own = {"val": images[:3], "test": images[2:5], "extra": images[5:]}[split]
            return [
                Example(f"{split}-{kind}-{k}", (path,), "?", ("yes",), kind) for k, path in enumerate(own)
            ]

    def build(config, slot):
        return Few() if config._target_.startswith("bridgelab.benchmark.") else tiny_vision

    monkeypatch.setattr(features, "build", build)


def test_a_run_has_features_from_where_its_config_says(config, images, tiny_vision):
    stored = image_features(config(), tiny_vision, images)
    assert isinstance(stored, MappedFeatures)
    assert stored.dtype == "bfloat16"
    online = image_features(config("data.features=online", "data.dtype=float32"), tiny_vision, images)
    assert isinstance(online, OnlineFeatures)
    assert online.dtype == "float32"
    for override, match in (
        ("data.features=cache", r"data\.features='cache': must be one of store, online"),
        ("data.on_error=ignore", r"data\.on_error='ignore': must be one of refuse, skip"),
        ("data.dtype=int4", r"dtype='int4': must be one of bfloat16"),
    ):
        with pytest.raises(ValueError, match=match):
            image_features(config(override), tiny_vision, images)


@pytest.mark.parametrize("source", ["store", "online"])
def test_broken_images_are_refused_or_left_out(config, images, tiny_vision, source):
    Path(images[1]).write_bytes(b"")
    own = f"data.features={source}"
    with pytest.raises(ValueError, match=r"1 of 6 images can't be used"):
        image_features(config(own), tiny_vision, images)
    found = image_features(config(own, "data.on_error=skip"), tiny_vision, images)
    assert list(found.left_out) == [images[1]]
    # A bridge that sees no image leaves out the same.
    assert broken_images(config("data.on_error=skip"), images) == found.left_out
    assert broken_images(config(), images) == {}


def test_features_are_built_before_any_run(config, benchmark, images, tiny_vision):
    told = build_features(config(), None, (0, 1))
    assert told.endswith("bfloat16-v1: 5 images of few, 5 of them encoded now")
    assert build_features(config(), None, (1, 2)).endswith("5 images of few, 0 of them encoded now")
    assert build_features(config(), ["extra"], (0, 1)).endswith("1 images of few, 1 of them encoded now")
    run = FeatureStore(Path(config().paths.features), tiny_vision)
    run.features(images)
    assert run.encoded == 0


def test_what_is_left_out_of_a_build_is_told(config, benchmark, images):
    Path(images[0]).write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 5 images can't be used"):
        build_features(config(), None, (0, 1))
    told = build_features(config("data.on_error=skip"), None, (0, 1))
    assert "4 images of few, 4 of them encoded now; 1 left out:\n" in told
    assert images[0] in told


def test_the_part_is_given_or_slurms_or_all():
    slurm = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}
    assert work_part(None, {}) == (0, 1)
    assert work_part(None, {"SLURM_PROCID": "3"}) == (0, 1)
    assert work_part(None, slurm) == (3, 8)
    assert work_part("1/2", slurm) == (1, 2)
    for wrong in ("2/2", "1", "a/b", "-1/2", "0/0"):
        with pytest.raises(ValueError, match=rf"--shard {wrong}: must be i/n with i from 0 to n-1"):
            work_part(wrong, {})
