"""The frozen open_clip ViT: features against open_clip's own forward, fingerprint, frozenness, bad input."""

import json

import numpy as np
import pytest
import torch
from open_clip.coca_model import CoCa
from PIL import Image
from safetensors.torch import load_file, save_file

from bridgelab.vision.openclip import OpenClipVision

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 24, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16,
            "output_tokens": True,
        },
        "text_cfg": {
            "context_length": 8, "vocab_size": 11, "width": 32, "heads": 2, "layers": 1, "embed_cls": True,
        },
        "multimodal_cfg": {"context_length": 8, "vocab_size": 11, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic"},
}  # fmt: skip


def reference():
    """A tiny random CoCa, all of its norms away from the identity, so that leaving one out is seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CoCa(**CONFIG["model_cfg"]).eval()
        with torch.no_grad():
            for weight in model.visual.parameters():
                if weight.ndim == 1:
                    weight.add_(0.3 * torch.randn_like(weight))
    return model.visual


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_file({f"visual.{k}": v.contiguous() for k, v in reference().state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(CONFIG))
    return path


def rewrite(weights, change):
    """Change the configuration beside the weights."""
    config = json.loads(weights.with_suffix(".json").read_text())
    change(config)
    weights.with_suffix(".json").write_text(json.dumps(config))


def images(n=3, height=24, width=24):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("layer", [0, 1, -1])
@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("cls", [False, True])
def test_features_are_what_open_clip_itself_computes_at_that_layer(weights, layer, final_norm, cls):
    model, outputs = reference(), []
    model.transformer.resblocks[layer].register_forward_hook(lambda *args: outputs.append(args[2]))
    mean, std = (torch.tensor(CONFIG["preprocess_cfg"][k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        model((images().permute(0, 3, 1, 2).float() / 255 - mean) / std)
        expected = model.ln_post(outputs[0]) if final_norm else outputs[0]
    vision = OpenClipVision(weights=str(weights), layer=layer, final_norm=final_norm, cls=cls)
    features = vision.patches(images())
    assert torch.equal(features, expected if cls else expected[:, 1:])
    assert features.shape == (3, 9 + cls, vision.dim)
    assert (vision.dim, vision.grid, vision.image_size) == (32, (3, 3), (24, 24))


def test_a_larger_image_is_resized_as_pillow_does(weights):
    vision = OpenClipVision(weights=str(weights))
    ramp = np.linspace(0, 1, 96)
    smooth = np.stack([np.add.outer(ramp, ramp) / 2, np.outer(ramp, ramp), np.tile(ramp, (96, 1))], -1)
    raw = (255 * smooth).astype(np.uint8)[:72]  # not square: stretched, not cropped
    pillow = np.asarray(Image.fromarray(raw).resize((24, 24), Image.Resampling.BICUBIC))
    ours = vision.pixels(torch.from_numpy(raw)[None]) * vision.std + vision.mean
    np.testing.assert_allclose(255 * ours[0].permute(1, 2, 0), pillow, atol=1.01)


def test_an_image_of_the_models_size_is_not_touched(weights):
    vision = OpenClipVision(weights=str(weights))
    restored = (vision.pixels(images()) * vision.std + vision.mean) * 255
    assert torch.equal(restored.round().permute(0, 2, 3, 1).to(torch.uint8), images())


def test_features_do_not_depend_on_the_batch_or_on_the_callers_autocast(weights):
    vision = OpenClipVision(weights=str(weights))
    whole = vision.patches(images(6))
    alone = torch.cat([vision.patches(images(6)[k : k + 1]) for k in range(6)])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vision.patches(images(6)), whole)


def test_patch_k_is_row_by_row_from_the_top_left(weights):
    vision = OpenClipVision(weights=str(weights), layer=0)
    plain = torch.zeros(1, 24, 24, 3, dtype=torch.uint8)
    lit = plain.clone()
    lit[0, :8, 16:] = 255  # the top right patch
    change = (vision.patches(lit) - vision.patches(plain)).norm(dim=-1)[0]
    assert change.argmax() == 2


def test_the_fingerprint_is_of_weights_and_settings_alone(weights):
    vision = OpenClipVision(weights=str(weights))
    own = vision.fingerprint
    vision.patches(images())
    vision.train()
    assert vision.fingerprint == own == OpenClipVision(weights=str(weights), layer=2).fingerprint
    others = [
        OpenClipVision(weights=str(weights), **setting).fingerprint
        for setting in ({"layer": 1}, {"cls": True}, {"final_norm": False}, {"dtype": "bfloat16"})
    ]
    rewrite(weights, lambda c: c["preprocess_cfg"].update(mean=[0.4, 0.5, 0.5]))
    others.append(OpenClipVision(weights=str(weights)).fingerprint)
    rewrite(weights, lambda c: c["preprocess_cfg"].update(mean=[0.4, 0.5, 0.6], interpolation="bilinear"))
    others.append(OpenClipVision(weights=str(weights)).fingerprint)
    rewrite(weights, lambda c: c["preprocess_cfg"].update(interpolation="bicubic"))
    rewrite(weights, lambda c: c["model_cfg"]["vision_cfg"].update(head_width=8))
    others.append(OpenClipVision(weights=str(weights)).fingerprint)
    rewrite(weights, lambda c: c["model_cfg"].update(quick_gelu=True))
    others.append(OpenClipVision(weights=str(weights)).fingerprint)
    assert len({own, *others}) == len(others) + 1
    with torch.no_grad():
        vision.visual.conv1.weight[0, 0, 0, 0] += 1e-3
    assert vision.fingerprint != own


def test_frozen_means_frozen(weights):
    vision = OpenClipVision(weights=str(weights))
    vision.train()
    assert not any(m.training for m in vision.modules())
    assert not any(p.requires_grad for p in vision.parameters())
    features = vision.patches(images())
    assert not features.requires_grad
    assert not features.is_inference()  # a bridge must be able to keep them for its backward


def test_only_the_visual_part_of_a_whole_checkpoint_is_read(weights):
    own = OpenClipVision(weights=str(weights)).fingerprint
    save_file({**load_file(weights), "logit_scale": torch.ones(1)}, weights)
    assert OpenClipVision(weights=str(weights)).fingerprint == own


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(1, 24, 24, 3), torch.zeros(24, 24, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 24, 24, dtype=torch.uint8),
        torch.zeros(1, 0, 24, 3, dtype=torch.uint8),
    ],
)  # fmt: skip
def test_images_of_another_kind_are_refused(weights, bad):
    # Called beneath the shape checks of the test run, which would speak first.
    patches = getattr(OpenClipVision.patches, "__wrapped__", OpenClipVision.patches)
    with pytest.raises(Exception, match=r"must be uint8 \[batch, height, width, 3\]|Type-check error"):
        patches(OpenClipVision(weights=str(weights)), bad)


def test_settings_out_of_range(weights):
    with pytest.raises(
        ValueError, match=r"layer=3: tiny\.safetensors has 3 blocks\. Set vision\.layer within -3 to 2"
    ):
        OpenClipVision(weights=str(weights), layer=3)
    with pytest.raises(ValueError, match=r"dtype='int8': must be one of float32"):
        OpenClipVision(weights=str(weights), dtype="int8")


def test_files_that_are_missing_or_do_not_fit(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors does not exist.*make pretrain"):
        OpenClipVision(weights=str(tmp_path / "none.safetensors"))
    rewrite(weights, lambda c: c["model_cfg"]["vision_cfg"].update(width=48))
    with pytest.raises(ValueError, match=r"does not fit its configuration tiny\.json.*size mismatch"):
        OpenClipVision(weights=str(weights))
    rewrite(weights, lambda c: c["model_cfg"]["vision_cfg"].update(width=32, image_size=25))
    with pytest.raises(ValueError, match=r"image_size=25 is not a multiple of patch_size=8"):
        OpenClipVision(weights=str(weights))
    for size in ("large", [24, 24, 24], None):
        rewrite(weights, lambda c, size=size: c["model_cfg"]["vision_cfg"].update(image_size=size))
        with pytest.raises(ValueError, match=r"is not an open_clip configuration \(TypeError\(.image_size="):
            OpenClipVision(weights=str(weights))
    rewrite(weights, lambda c: c["model_cfg"]["vision_cfg"].update(image_size=24))
    for key, value, problem in (("head_width", 0, "ZeroDivisionError"), ("odd", 1, "TypeError: .*odd")):
        rewrite(weights, lambda c, key=key, value=value: c["model_cfg"]["vision_cfg"].update({key: value}))
        with pytest.raises(ValueError, match=rf"configuration of tiny\.json describes no model .*{problem}"):
            OpenClipVision(weights=str(weights))
    rewrite(weights, lambda c: c["model_cfg"].pop("vision_cfg"))
    with pytest.raises(ValueError, match=r"is not an open_clip configuration.*vision_cfg"):
        OpenClipVision(weights=str(weights))


def test_a_broken_weights_file(weights):
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"tiny\.safetensors does not fit its configuration"):
        OpenClipVision(weights=str(weights))


def test_unknown_preprocessing_is_warned_of(weights, caplog):
    rewrite(weights, lambda c: c["preprocess_cfg"].pop("mean"))
    OpenClipVision(weights=str(weights))
    assert "tiny.json has no preprocess_cfg.mean: using CLIP's" in caplog.text
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(ValueError, match=r"vision\.weights=.*tiny\.safetensors is a Git LFS pointer"):
        OpenClipVision(weights=str(weights))


def test_an_unknown_interpolation(weights):
    rewrite(weights, lambda c: c["preprocess_cfg"].update(interpolation="nearest"))
    with pytest.raises(
        ValueError, match=r"interpolation='nearest' of tiny\.safetensors: must be one of bicubic, bilinear"
    ):
        OpenClipVision(weights=str(weights))
