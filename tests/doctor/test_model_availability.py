import json
import shutil
import time

import pytest
import torch
from huggingface_hub import constants
from omegaconf import OmegaConf
from safetensors.torch import save_file

from bridgelab.doctor import model_availability
from bridgelab.doctor.check import MISSING, NOTE, OK
from bridgelab.doctor.random_models import text_config
from bridgelab.text.t5 import ASSETS


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty; gives what puts a file there."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def put(repo, name, content="{}"):
        folder = tmp_path / f"models--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("commit")
        (folder / "snapshots" / "commit").mkdir(parents=True, exist_ok=True)
        (folder / "snapshots" / "commit" / name).write_text(content)

    return put


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def text(path):
    return model_availability.text_check(OmegaConf.create({"path": str(path)}))


def vision(weights, pretrained=None):
    return model_availability.vision_check(
        OmegaConf.create({"weights": str(weights), "pretrained": pretrained})
    )


def test_the_miniature_is_whole():
    assert model_availability.miniature().status == OK
    assert text("miniature").status == vision("miniature").status == OK


def test_a_text_model_that_can_only_be_a_folder_and_is_not_there_is_named():
    check = text("runs/pretrain/grids/text")
    assert check.status == MISSING
    assert check.detail.startswith("text.path=runs/pretrain/grids/text: there is no folder /")
    assert check.fix.startswith("Set text.path to an existing one")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*Set text\.path to an existing one"):
        text_config("runs/pretrain/grids/text")


def test_a_weights_file_that_was_cut_short_is_seen(tmp_path, monkeypatch):
    shutil.copytree(ASSETS, tmp_path / "assets")
    monkeypatch.setattr(model_availability, "ASSETS", tmp_path / "assets")
    assert model_availability.miniature().status == OK
    path = tmp_path / "assets" / "vision.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    check = model_availability.miniature()
    assert check.status == MISSING
    assert "vision.safetensors: is no complete safetensors file" in check.detail
    path.unlink()
    (tmp_path / "assets" / "text" / "tokenizer.json").unlink()
    assert (
        "text/tokenizer.json is missing; assets/vision.safetensors: is missing"
        in model_availability.miniature().detail
    )


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs", b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{"]
)
def test_what_is_no_safetensors_file_is_told(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    assert "is no complete safetensors file" in model_availability.broken(tmp_path / "x.safetensors")


def test_a_t5_in_a_folder(tmp_path):
    assert (
        "config.json is missing; model.safetensors is missing; the tokenizer is missing"
        in text(tmp_path).detail
    )
    save_file({"x": torch.ones(3)}, tmp_path / "model-1.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    assert text(tmp_path).status == OK
    index = {"weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    check = text(tmp_path)
    assert check.status == MISSING
    assert "model-2.safetensors is missing" in check.detail


def test_a_t5_in_the_cache(cache, offline):
    check = text("some/t5")
    assert (check.status, check.fix[:20]) == (MISSING, "hf download some/t5,")
    assert "HF_HUB_OFFLINE" in check.detail
    cache(
        "some/t5",
        "model.safetensors.index.json",
        json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}),
    )
    cache("some/t5", "a.safetensors")
    assert "1 of 2 files are not in the cache" in text("some/t5").detail
    cache("some/t5", "b.safetensors")
    assert text("some/t5").status == OK


def test_a_vit_by_name_in_the_cache(cache, offline, composed):
    missing = vision("ViT-L-14", "openai")
    assert missing.status == MISSING
    config = composed("vision=openclip_vit_l_14", *missing.fix.partition(",")[0].split())
    assert (config.vision.weights, config.vision.pretrained) == ("local-dir:FOLDER", None)
    cache("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors")
    assert vision("ViT-L-14", "openai").status == OK


def test_a_vit_of_ones_own(tmp_path, cache, offline):
    assert "nothing" in vision("ViT-L-14", "nothing").detail
    assert "not a model of open_clip" in vision("ViT-L-15", "openai").fix
    assert vision(f"local-dir:{tmp_path}").status == MISSING
    save_file({"x": torch.ones(3)}, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert vision(f"local-dir:{tmp_path}").status == OK
    assert "no configuration beside it" in vision(tmp_path / "open_clip_model.safetensors").detail
    assert vision("ViT-L-14", str(tmp_path / "open_clip_model.safetensors")).status == OK
    assert vision("hf-hub:some/vit").status == MISSING
    cache("some/vit", "open_clip_model.safetensors")
    assert vision("hf-hub:some/vit").status == OK


def test_a_network_that_does_not_answer_is_waited_for_a_moment(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(model_availability, "DEADLINE", 0.05)
    answered = []

    def answer_late(*_, **__):
        time.sleep(60)
        answered.append(True)

    monkeypatch.setattr(model_availability, "get_hf_file_metadata", answer_late)
    check = text("some/t5")
    assert not answered
    assert (check.status, check.detail) == (
        MISSING,
        "some/t5: not here, and no answer from the network in 0.05 s",
    )


def test_what_the_hub_says_is_told(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    class Answer:
        size = 11_400_000_000

    monkeypatch.setattr(model_availability, "get_hf_file_metadata", lambda *args, **kwargs: Answer())
    check = text("some/t5")
    assert (check.status, check.detail) == (NOTE, "some/t5: not here; the hub has it, 11 GB")

    def refuse(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(model_availability, "get_hf_file_metadata", refuse)
    assert text("some/t5").detail == "some/t5: not here, and not reachable (ConnectionError)"
