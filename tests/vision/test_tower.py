"""Towers of every family that open_clip builds, read by name from a local folder, against their own forward."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from timm.models import register_model
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from bridgelab.doctor.random_models import tower
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.vision.tower import create_tower

SIZES = {"img_size": 24, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}


def sizes(given):
    """What timm hands to a model's maker, without where its weights would come from."""
    return SIZES | {key: value for key, value in given.items() if not key.startswith(("pretrained", "cache"))}


def described(model):
    """With what open_clip asks of a timm model."""
    model.default_cfg = model.pretrained_cfg = {"pool_size": None}
    return model


@register_model
def tiny_siglip_for_tests(pretrained=False, **kwargs):
    """As SigLIP: no class token, attention pooling."""
    return described(VisionTransformer(**(sizes(kwargs) | {"class_token": False, "global_pool": "map"})))


@register_model
def tiny_vitamin_for_tests(pretrained=False, **kwargs):
    """As ViTamin: no class token, the mean of patches, which is normalized."""
    return described(VisionTransformer(**(sizes(kwargs) | {"class_token": False, "global_pool": "avg"})))


@register_model
def tiny_eva_for_tests(pretrained=False, **kwargs):
    """As EVA-02: rotary positions, SwiGLU, a class token that is pooled behind the norm."""
    as_eva = {
        "global_pool": "token",
        "use_rot_pos_emb": True,
        "swiglu_mlp": True,
        "scale_mlp": True,
        "qkv_fused": False,
    }
    return described(Eva(**(sizes(kwargs) | as_eva)))


TEXT = {"context_length": 8, "vocab_size": 11, "width": 32, "heads": 2, "layers": 1}
VIT = {"image_size": 24, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16}


def timm(name, pool):
    return {
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": pool,
        "timm_proj": "linear",
    } | {"image_size": 24}


FAMILIES = {
    "clip": {"vision_cfg": VIT, "text_cfg": TEXT},
    "quickgelu": {"vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "coca": {
        "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT,
        "custom_text": True,
    },
    "siglip": {"vision_cfg": timm("tiny_siglip_for_tests", ""), "text_cfg": TEXT},
    "vitamin": {"vision_cfg": timm("tiny_vitamin_for_tests", ""), "text_cfg": TEXT},
    "eva02": {"vision_cfg": timm("tiny_eva_for_tests", "token"), "text_cfg": TEXT},
}
NORM_BEHIND_THE_POOL = {"coca": "comes after its attention pool", "vitamin": "has no norm before its pool"}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic"}


def folder(path, family, **more):
    """A model as open_clip's local-dir form has it, of random weights with norms away from the identity."""
    config = {"embed_dim": 16, **FAMILIES[family], **more}
    (path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{path}", load_weights=False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, path / "open_clip_model.safetensors"
    )
    return f"local-dir:{path}", model.visual.eval()


def images(side=24):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8))


def prepared():
    mean, std = (torch.tensor(PREPROCESS[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (images().permute(0, 3, 1, 2).float() / 255 - mean) / std


@pytest.mark.parametrize("layer", [0, -2, -1])
@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_towers_own_forward(tmp_path, family, final_norm, layer):
    name, visual = folder(tmp_path, family)
    if family in NORM_BEHIND_THE_POOL and final_norm:
        with pytest.raises(ValueError, match=NORM_BEHIND_THE_POOL[family]):
            OpenClipVision(weights=name, final_norm=True)
        return
    own = hasattr(visual, "transformer")
    blocks, norm = (
        (visual.transformer.resblocks, visual.ln_post) if own else (visual.trunk.blocks, visual.trunk.norm)
    )
    seen = []
    blocks[layer].register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        visual(prepared())
        expected = norm(seen[0]) if final_norm else seen[0]
    prefix = 0 if family in ("siglip", "vitamin") else 1
    vision = OpenClipVision(weights=name, layer=layer, final_norm=final_norm)
    assert torch.equal(vision.patches(images()), expected[:, prefix:])
    assert (vision.dim, vision.grid, vision.image_size) == (32, (3, 3), (24, 24))
    if prefix:
        with_cls = OpenClipVision(weights=name, layer=layer, final_norm=final_norm, cls=True)
        assert torch.equal(with_cls.patches(images()), expected)


@pytest.mark.parametrize("family", ["clip", "siglip", "eva02"])
def test_another_image_size_has_its_own_grid(tmp_path, family):
    name, _ = folder(tmp_path, family)
    vision = OpenClipVision(weights=name, image_size=40)
    assert (vision.grid, vision.image_size) == ((5, 5), (40, 40))
    assert vision.patches(images(40)).shape == (2, 25, 32)
    assert vision.fingerprint != OpenClipVision(weights=name).fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fingerprint_is_of_weights_and_settings(tmp_path, family):
    name, _ = folder(tmp_path, family)
    own = OpenClipVision(weights=name, final_norm=False).fingerprint
    assert own == OpenClipVision(weights=name, final_norm=False).fingerprint
    assert own != OpenClipVision(weights=name, final_norm=False, layer=0).fingerprint
    changed = OpenClipVision(weights=name, final_norm=False)
    with torch.no_grad():
        next(iter(changed.visual.parameters())).add_(1e-3)
    assert own != changed.fingerprint


def test_a_file_of_weights_may_stand_for_a_tag(tmp_path, monkeypatch):
    config = {"embed_dim": 16, **FAMILIES["clip"]}
    (tmp_path / "tiny-for-tests.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-for-tests.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-for-tests")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    visual, _ = create_tower("tiny-for-tests", str(tmp_path / "weights.pt"))
    for name, weight in model.visual.state_dict().items():
        assert torch.equal(visual.state_dict()[name], weight)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A model of open_clip with weights by a tag that were trained with QuickGELU and with SigLIP's pixels, and their file."""
    (tmp_path / "tiny-by-tag.json").write_text(json.dumps({"embed_dim": 16, **FAMILIES["clip"]}))
    open_clip.add_model_config(tmp_path / "tiny-by-tag.json")
    file = tmp_path / "weights.pt"
    torch.save(open_clip.create_model("tiny-by-tag").state_dict(), file)
    tag = {"quick_gelu": True, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear"}
    tags = {"own": tag}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: list(tags))
    for place in (open_clip, open_clip.factory):
        monkeypatch.setattr(place, "get_pretrained_cfg", lambda name, tag: tags.get(tag))
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(file))
    return tags, str(file)


def test_weights_run_with_the_activation_that_they_were_trained_with(published):
    """OpenAI's need QuickGELU; open_clip gives the model that its name says, and warns."""
    visual, preprocess = create_tower("tiny-by-tag", "own")
    assert "QuickGELU" in repr(visual.transformer)
    assert (preprocess["mean"], preprocess["interpolation"]) == ((0.5, 0.5, 0.5), "bilinear")
    for name in ("ViT-L-14", "ViT-L-14-336"):
        assert open_clip.pretrained._PRETRAINED[name]["openai"]["quick_gelu"], "conf/vision has these"


def test_a_files_pixels_and_activation_are_those_of_the_models_tags(published, caplog):
    tags, file = published
    visual, preprocess = create_tower("tiny-by-tag", file)
    assert (preprocess["mean"], preprocess["interpolation"]) == ((0.5, 0.5, 0.5), "bilinear")
    assert "QuickGELU" in repr(visual.transformer)
    assert "assuming GELU" not in caplog.text
    # Tags that disagree tell neither, as ViT-L-14's; each is said.
    tags["other"] = tags["own"] | {"mean": (0.4, 0.4, 0.4), "quick_gelu": False}
    visual, _ = create_tower("tiny-by-tag", file)
    assert "QuickGELU" not in repr(visual.transformer)
    assert f"{file}: its preprocessing is unknown; using CLIP's" in caplog.text
    quick = "if it holds weights of own, set vision.weights=tiny-by-tag-quickgelu"
    assert f"{file}: assuming GELU; {quick}" in caplog.text


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_weights_that_do_not_fit_are_not_made_up(tmp_path, family):
    name, _ = folder(tmp_path, family)
    file = tmp_path / "open_clip_model.safetensors"
    weights = load_file(file)
    first = next(key for key in weights if key.startswith("visual."))
    save_file({key: value for key, value in weights.items() if key != first}, file)
    with pytest.raises(
        ValueError, match=rf"weights of {name} do not fit its configuration: .*Missing.*{first}"
    ):
        OpenClipVision(weights=name)
    Path(file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(ValueError, match=rf"{name}: {file} is a Git LFS pointer.*git lfs pull"):
        OpenClipVision(weights=name)


def test_bad_input(tmp_path):
    name, _ = folder(tmp_path, "siglip")
    for choices, error, match in (
        (
            {"weights": "ViT-L-15", "pretrained": "openai"},
            ValueError,
            r"'ViT-L-15' is not a model of open_clip \(near: .*ViT-L-14",
        ),
        (
            {"weights": "ViT-L-14"},
            ValueError,
            r"pretrained=None: ViT-L-14 has weights under the tags openai, ",
        ),
        (
            {"weights": "ViT-L-14", "pretrained": "opnai"},
            ValueError,
            r"pretrained='opnai': ViT-L-14 has weights under the tags .* and there is no file /.*/opnai\. Set",
        ),
        (
            {"weights": name, "pretrained": "openai"},
            ValueError,
            r"names its own weights\. Set vision\.pretrained=null",
        ),
        (
            {"weights": "local-dir:/nowhere"},
            OSError,
            r"weights=local-dir:/nowhere: there is no folder /nowhere",
        ),
        ({"weights": name, "cls": True}, ValueError, r"cls=True: .* has no class token"),
        (
            {"weights": name, "layer": 3},
            ValueError,
            r"layer=3: .* has 3 blocks\. Set vision\.layer within -3 to 2",
        ),
        (
            {"image_size": 224},
            ValueError,
            r"image_size=224: the configuration of vision\.safetensors sets both",
        ),
    ):
        with pytest.raises(error, match=match):
            OpenClipVision(**choices)


@pytest.mark.parametrize("file", [False, True])
def test_code_of_a_text_encoder_is_not_run_and_nobody_is_asked(tmp_path, monkeypatch, file):
    """open_clip has transformers build it, which asks at a terminal whether to run it."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "somebodys.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    settings = {"model_type": "somebodys", "auto_map": {"AutoConfig": "somebodys.Config"}}
    (tmp_path / "text" / "config.json").write_text(json.dumps(settings))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    name, _ = folder(tmp_path, "clip")
    described = json.loads((tmp_path / "open_clip_config.json").read_text())
    described["model_cfg"]["text_cfg"] = {"hf_model_name": str(tmp_path / "text")}
    for config in ("open_clip_config.json", "open_clip_model.json"):
        (tmp_path / config).write_text(json.dumps(described))
    weights = str(tmp_path / "open_clip_model.safetensors") if file else name
    with pytest.raises(
        OSError, match=rf"the weights of {weights} could not be read: .* contains custom code"
    ):
        OpenClipVision(weights=weights)
    with pytest.raises(ValueError, match="contains custom code"):
        tower(OmegaConf.create({"weights": weights}))
    assert not (tmp_path / "ran").exists()


def test_a_model_without_its_weights_is_refused(tmp_path):
    name, _ = folder(tmp_path, "clip")
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(OSError, match="could not be read"):
        OpenClipVision(weights=name)


def test_a_tower_without_patches_is_refused(tmp_path):
    resnet = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    name, _ = folder(tmp_path, "clip", vision_cfg=resnet)
    with pytest.raises(ValueError, match="has a ModifiedResNet without transformer blocks"):
        OpenClipVision(weights=name)
