import importlib.util
import json
import shutil

import pytest
import torch
import transformers
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from transformers import BertConfig, T5Config, T5ForConditionalGeneration

from bridgelab.config.instantiate import build
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.text.t5 import OFFLOADED, T5

EIGHT_BIT = {"_target_": "bridgelab.text.t5.T5", "eight_bit": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("t5")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, num_heads=4, d_ff=32, num_layers=2, feed_forward_proj="gated-gelu",
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_logits_are_transformers_own(folder):
    text = T5(str(folder))
    reference = T5ForConditionalGeneration.from_pretrained(folder).eval()
    ids, mask = text.tokenize(["what color is the red cube ?", "yes"])
    labels, _ = text.tokenize(["red", "no"])
    torch.testing.assert_close(
        text.model(inputs_embeds=text.embed(ids), attention_mask=mask, labels=labels).logits,
        reference(input_ids=ids, attention_mask=mask.long(), labels=labels).logits,
    )


def test_tokens_go_out_as_they_came_in(folder):
    text = T5(str(folder))
    ids, mask = text.tokenize(["a large red metal cube , a small blue rubber sphere .", "12"])
    assert ids.shape[1] % 8 == 0
    assert mask.sum(1).tolist() == [13, 2]
    assert text.decode(ids) == ["a large red metal cube , a small blue rubber sphere .", "12"]


def test_unknown_words(folder):
    text = T5(str(folder))
    assert text.unknown("what color is the zebra ? What".split()) == ["zebra", "What"]
    assert text.unknown([]) == []


def test_frozen_for_good(folder):
    text = T5(str(folder))
    text.train()
    assert not text.model.training
    assert not any(p.requires_grad for p in text.parameters())


def test_gradients_pass_through_to_the_prefix(folder):
    text = T5(str(folder))
    prefix = torch.randn(2, 3, text.dim, requires_grad=True)
    text.model(inputs_embeds=prefix, labels=torch.tensor([[5, 1], [6, 1]])).loss.backward()
    assert prefix.grad.abs().sum() > 0


def test_a_scene_in_words_is_its_words_and_filler(folder):
    text = T5(str(folder))
    scenes = [
        "large red metal cube c07 r13 . small blue rubber sphere c01 r02",
        "small red metal cube c00 r01",
    ]
    prefixes = text.embed_words(scenes)
    weight, ids = text.model.shared.weight, text.tokenizer.convert_tokens_to_ids
    for row, scene in zip(prefixes, scenes, strict=True):
        words = scene.split() + ["."] * (16 - len(scene.split()))
        torch.testing.assert_close(row, weight[ids(words)])
    assert text.embed_words(["", ""]).shape == (2, 0, text.dim)  # a bridge may caption with nothing


def test_fingerprint_follows_weights_and_settings_but_not_the_installed_transformers(folder, monkeypatch):
    text = T5(str(folder))
    before = text.fingerprint
    with monkeypatch.context() as patched:
        patched.setattr(transformers.configuration_utils, "__version__", "99.0.0")
        assert text.model.config.to_diff_dict()["transformers_version"] == "99.0.0"
        assert text.fingerprint == before
    assert T5(str(folder)).fingerprint == before
    assert T5(str(folder), dtype="bfloat16").fingerprint != before
    with torch.no_grad():
        text.model.lm_head.weight[0, 0] += 1
    assert text.fingerprint != before


def test_float16_is_refused(folder):
    with pytest.raises(
        ValueError,
        match=r"text.dtype=float16: T5 overflows in float16\. Set text.dtype to float32 or bfloat16",
    ):
        T5(str(folder), dtype="float16")


def test_recomputed_activations_change_neither_output_nor_gradient(folder):
    results = []
    for checkpointing in (False, True):
        text = T5(str(folder), checkpointing=checkpointing)
        torch.manual_seed(0)
        prefix = torch.randn(2, 3, text.dim, requires_grad=True)
        saved = 0

        def count(tensor):
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            labels = torch.tensor([[5, 1], [6, 1]])
            loss = text.model(inputs_embeds=prefix, labels=labels, use_cache=False).loss
        loss.backward()
        results.append((loss.item(), prefix.grad, saved))
    (plain, gradient, kept), (again, recomputed, fewer) = results
    assert again == plain
    assert torch.equal(recomputed, gradient)
    assert fewer < kept / 2


def test_another_kind_of_model_is_named(tmp_path):
    BertConfig(vocab_size=10, hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"text.path=.* holds a model of the kind 'bert': it must be a T5"):
        T5(str(tmp_path))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_folder_is_not_run_and_nobody_is_asked(folder, tmp_path, monkeypatch, file):
    """transformers asks at a terminal whether to run it."""
    shutil.copytree(folder, tmp_path / "t5")
    (tmp_path / "t5" / "somebodys.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    named = {"AutoConfig": "somebodys.Config", "AutoTokenizer": ["somebodys.Tokenizer", None]}
    own = {
        "config.json": {"model_type": "somebodys"},
        "tokenizer_config.json": {"tokenizer_class": "Somebodys"},
    }
    settings = json.loads((folder / file).read_text()) | own[file] | {"auto_map": named}
    (tmp_path / "t5" / file).write_text(json.dumps(settings))
    if file == "config.json":
        with pytest.raises(
            ValueError, match=r"its config\.json can't be read \(ValueError: .* contains custom code"
        ):
            T5(str(tmp_path / "t5"))
    else:
        T5(str(tmp_path / "t5"))  # its tokenizer.json says all
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["flsh", "kernels-community/flash-attn", "paged|eager"])
def test_an_attention_that_the_t5_has_not_is_refused(name):
    """transformers takes the name of a repository whose code it would run."""
    with pytest.raises(
        ValueError, match=r"text\.attention=.* must be one of eager, sdpa, flex_attention\. Set"
    ):
        T5(attention=name)


def config_with(**changes):
    """Change config.json."""

    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def without(name, *more, content=None):
    """Remove files, or keys of a JSON file where its name ends with a key."""

    def change(folder):
        for one in (name, *more):
            file, _, key = one.partition(":")
            settings = json.loads((folder / file).read_text()) if key else None
            (folder / file).unlink()
            if settings:
                (folder / file).write_text(json.dumps({k: v for k, v in settings.items() if k != key}))
            elif content is not None:
                (folder / file).write_text(content)

    return change


def without_weights(start):
    def change(folder):
        weights = load_file(folder / "model.safetensors")
        kept = {name: weight for name, weight in weights.items() if not name.startswith(start)}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return change


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (without("tokenizer.json", "tokenizer_config.json"), r"does not know the words yes, no, what, is, the, a\. transformers makes one up"),
        (without("tokenizer.json"), r"its tokenizer can't be read \(ValueError: .*Copy the model's whole folder"),
        (without("tokenizer_config.json:eos_token"), r"its tokenizer has no eos_token, .*tokenizer_config\.json"),
        (without("tokenizer_config.json:pad_token"), r"its tokenizer has no pad_token, .*tokenizer_config\.json"),
        (without("config.json:decoder_start_token_id"), r"decoder_start_token_id=None .* answers need a start token"),
        (config_with(eos_token_id=5), r"eos_token_id=5, and the tokenizer's eos is 1"),
        (config_with(vocab_size=100), r"ids up to \d+, and the model embeds 100 words"),
        (without_weights("decoder."), r"30 are not stored \(decoder\.block\.0\.layer\.0\.SelfAttention\.k"),
        (config_with(num_layers=3), r"9 are not stored \(encoder\.block\.2\..* Copy config\.json and all weights"),
        (config_with(num_decoder_layers=1), r"14 are stored beyond it \(decoder\.block\.1"),
        (config_with(d_ff=64), r"12 are stored in another shape \(decoder\.block\.0\.layer\.2\.DenseReluDense\.wi_0"),
        (config_with(tie_word_embeddings=False), r"1 are not stored \(lm_head\.weight or shared\.weight, which tie_word_"),
        (without("model.safetensors"), r"its weights can't be read \(OSError: Error no file named model\.safetensors"),
        (without("model.safetensors", content=POINTER), r"model\.safetensors is a Git LFS pointer.*git lfs pull"),
        (without("tokenizer.json", content=POINTER), r"tokenizer\.json is a Git LFS pointer.*git lfs pull"),
    ],
)  # fmt: skip
def test_what_a_folder_lacks_is_not_made_up(folder, tmp_path, change, match):
    """transformers draws missing weights at random and makes up a tokenizer that knows no word."""
    shutil.copytree(folder, tmp_path / "t5")
    change(tmp_path / "t5")
    with pytest.raises(ValueError, match=rf"text\.path={tmp_path / 't5'}: .*{match}"):
        T5(str(tmp_path / "t5"))


def test_an_output_matrix_of_its_own_is_kept(folder, tmp_path):
    """As Flan-T5 stores it."""
    shutil.copytree(folder, tmp_path / "t5")
    weights = load_file(folder / "model.safetensors")
    head = torch.randn_like(weights["shared.weight"])
    save_file(weights | {"lm_head.weight": head}, tmp_path / "t5" / "model.safetensors", {"format": "pt"})
    config_with(tie_word_embeddings=False)(tmp_path / "t5")
    text = T5(str(tmp_path / "t5"))
    assert torch.equal(text.model.lm_head.weight, head)
    assert torch.equal(text.model.shared.weight, weights["shared.weight"])


def test_a_missing_folder_is_reported_before_the_hub_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t5").mkdir()
    for path in ("t5/plain", "./plain", str(tmp_path / "plain"), "a/b/c"):
        with pytest.raises(FileNotFoundError, match=rf"text\.path={path}: there is no folder .*{tmp_path}"):
            T5(path)

    def refused(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("bridgelab.text.t5.AutoConfig.from_pretrained", refused)
    with pytest.raises(
        OSError, match=rf"there is no folder {tmp_path}/of/mine, and the hub .*OSError: no network"
    ):
        T5("of/mine")


@pytest.mark.parametrize(
    ("package", "options"), [("accelerate", {"device_map": "auto"}), ("bitsandbytes", {"eight_bit": True})]
)
def test_a_missing_package_is_named(folder, monkeypatch, package, options):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else there("json"))
    with pytest.raises(
        ValueError, match=rf"text\.{next(iter(options))} needs the package {package}.*pip install {package}"
    ):
        T5(str(folder), **options)


def test_eight_bits_stay_on_the_processs_own_gpu_and_say_if_they_do_not_fit(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setenv("LOCAL_RANK", "3")
    maps = []

    def full(*_, device_map, **__):
        maps.append(device_map)
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(T5ForConditionalGeneration, "from_pretrained", full)
    for given in ({}, {"device_map": "auto"}):
        with pytest.raises(MemoryError, match=r"the T5 does not fit\. Set text\.dtype=bfloat16.* 2 GiB"):
            build(OmegaConf.create(EIGHT_BIT | {"path": str(folder), **given}), "text")
    assert maps == [{"": torch.device("cuda", 3)}, "auto"]


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="accelerate is not installed")
def test_layers_on_devices_of_their_own(folder):
    spread = T5(
        str(folder), device_map={"shared": "cpu", "encoder": "cpu", "decoder": "cpu", "lm_head": "cpu"}
    )
    together = T5(str(folder))
    ids, mask = spread.tokenize(["what color is the red cube ?"])
    labels, _ = spread.tokenize(["red"])
    torch.testing.assert_close(
        spread.model(inputs_embeds=spread.embed(ids), attention_mask=mask, labels=labels).logits,
        together.model(inputs_embeds=together.embed(ids), attention_mask=mask, labels=labels).logits,
    )
    assert spread.fingerprint == together.fingerprint


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="accelerate is not installed")
@pytest.mark.parametrize("error", [None, ValueError(f"Some modules are {OFFLOADED}")])
def test_a_t5_too_large_for_the_gpus_is_refused(folder, monkeypatch, error):
    """accelerate would leave weights on a disk, without values here; as it does if told so."""
    if error is not None:

        def full(*_, **__):
            raise error

        monkeypatch.setattr(T5ForConditionalGeneration, "from_pretrained", full)
    found = r"\(\d+ of its \d+ weights found no place\)" if error is None else rf"\({type(error).__name__}\)"
    with pytest.raises(ValueError, match=rf"text\.path={folder} does not fit .* {found}.*text=flan_t5_xl"):
        T5(str(folder), device_map={"shared": "cpu", "encoder": "cpu", "decoder": "disk", "lm_head": "cpu"})
