"""Weights in and out: tiny random models of transformers' own classes, and their published names."""

import functools
import shlex

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    CLIPVisionConfig,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
)

from bridgelab.alignment.model import Alignment
from bridgelab.alignment.weights import weights_of
from bridgelab.bridge.convert import FORMATS, from_published, to_published
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.mlp import MLP
from bridgelab.bridge.perceiver import PerceiverResampler
from bridgelab.bridge.perceiver_idefics2 import Idefics2Perceiver
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.weights import load_weights, write_weights
from bridgelab.cli.main import main
from bridgelab.cli.overrides import check_training, conf_folder
from bridgelab.config.compose import compose_sweep
from bridgelab.config.instantiate import bridge_choices, target

T5 = {
    "model_type": "t5", "d_model": 8, "d_kv": 4, "num_heads": 2, "d_ff": 16, "num_layers": 1, "vocab_size": 40,
}  # fmt: skip
LLAMA = {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 40,
}  # fmt: skip
VIT = {
    "hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip
BERT = {
    "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "encoder_hidden_size": 12, "vocab_size": 30, "max_position_embeddings": 10,
}  # fmt: skip
QFORMER = {"num_queries": 3, "depth": 3, "width": 8, "num_heads": 2}
WIDE = {"num_queries": 3, "depth": 2, "width": 64, "num_heads": 1}  # heads as wide as published
LATENTS = {"num_queries": 3, "depth": 2, "num_heads": 2}
GROUPED = {**LATENTS, "num_kv_heads": 1, "head_dim": 4, "hidden_dim": 16}


def blip2():
    text_free = BERT | {"use_qformer_text_input": False}
    config = Blip2Config(vision_config=VIT, qformer_config=text_free, text_config=T5, num_query_tokens=3)
    return Blip2ForConditionalGeneration(config)


def instructblip():
    config = InstructBlipConfig(vision_config=VIT, qformer_config=BERT, text_config=T5, num_query_tokens=3)
    return InstructBlipForConditionalGeneration(config)


def llava():
    vision = CLIPVisionConfig(**VIT)
    return LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=LlamaConfig(**LLAMA)))


def idefics2():
    perceiver = {
        "hidden_size": 8, "resampler_n_latents": 3, "resampler_depth": 2, "resampler_n_heads": 2,
        "resampler_head_dim": 4, "num_key_value_heads": 1,
    }  # fmt: skip
    text = MistralConfig(**LLAMA)
    return Idefics2ForConditionalGeneration(
        Idefics2Config(vision_config=VIT, text_config=text, perceiver_config=perceiver)
    )


HUB = {  # format, the model, our bridge of the same sizes
    "blip2": ("blip2_hf", blip2, lambda: QFormer(12, 8, **QFORMER)),
    "instructblip": (
        "instructblip_hf",
        instructblip,
        lambda: QFormer(12, 8, **QFORMER, conditioning="question"),
    ),
    "llava": ("llava_hf", llava, lambda: MLP(12, 8)),
    "idefics2": ("idefics2", idefics2, lambda: Idefics2Perceiver(12, 8, **GROUPED)),
}


@pytest.fixture(params=HUB)
def saved(request, tmp_path):
    """A model's file as transformers writes it, its format, and a bridge to carry it into."""
    form, model, bridge = HUB[request.param]
    torch.manual_seed(0)
    published = model()
    for p in published.parameters():
        torch.nn.init.normal_(p, std=0.3)
    published.save_pretrained(tmp_path)
    return form, tmp_path / "model.safetensors", bridge()


def test_a_saved_models_bridge_is_carried_and_comes_back_exactly(saved):
    form, path, bridge = saved
    published = load_file(path)
    carried, dropped = from_published(published, form)
    kept = load_weights(bridge, carried)
    assert set(kept) <= {"text_projection.weight"}
    back = to_published(bridge.state_dict(), form)
    belongs = {name for name in published if name.startswith(FORMATS[form].prefixes)}
    assert set(back) == belongs - set(dropped)
    assert all(torch.equal(back[name], published[name]) for name in back)
    assert bool(dropped) == (form == "instructblip_hf")
    for name, reason in dropped.items():
        assert ("embeddings" in name and "BERT" in reason) or (
            ".layer.2." in name and reason == "nothing reads its output"
        )


def test_blip2s_tokens_are_carried_with_its_weights(tmp_path):
    torch.manual_seed(0)
    model = blip2().eval()
    bridge = QFormer(12, 8, **QFORMER)
    load_weights(bridge, from_published(model.state_dict(), "blip2_hf")[0])
    patches = torch.randn(2, 5, 12)
    normed = model.vision_model.post_layernorm(patches)
    queries = model.qformer(
        model.query_tokens.expand(2, -1, -1), encoder_hidden_states=normed
    ).last_hidden_state
    torch.testing.assert_close(bridge(patches), model.language_projection(queries), rtol=1e-5, atol=1e-5)


PUBLISHED = [  # names as the original implementations write them
    ("llava", lambda: Linear(12, 8), {"mm_projector.weight": "model.mm_projector.weight"}),
    ("llava", lambda: MLP(12, 8), {"mm_projector.2.bias": "model.mm_projector.2.bias"}),
    (
        "blip2",
        lambda: QFormer(12, 8, **QFORMER),
        {
            "query_tokens": "query_tokens",
            "ln_vision.weight": "ln_vision.weight",
            "layernorm.bias": "Qformer.bert.embeddings.LayerNorm.bias",
            "layer.0.attention.attention.query.weight": "Qformer.bert.encoder.layer.0.attention.self.query.weight",
            "layer.0.attention.output.dense.weight": "Qformer.bert.encoder.layer.0.attention.output.dense.weight",
            "layer.2.crossattention.attention.key.bias": "Qformer.bert.encoder.layer.2.crossattention.self.key.bias",
            "layer.1.ffn_query.dense.weight": "Qformer.bert.encoder.layer.1.intermediate_query.dense.weight",
            "layer.1.ffn_query.output.LayerNorm.bias": "Qformer.bert.encoder.layer.1.output_query.LayerNorm.bias",
            "language_projection.weight": "t5_proj.weight",
        },
    ),
    (
        "blip2",
        lambda: QFormer(12, 8, **QFORMER, conditioning="question"),
        {
            "layer.0.ffn_text.dense.bias": "Qformer.bert.encoder.layer.0.intermediate.dense.bias",
            "layer.1.ffn_text.output.dense.weight": "Qformer.bert.encoder.layer.1.output.dense.weight",
        },
    ),
    (
        "openflamingo",
        lambda: PerceiverResampler(12, 8, **LATENTS),
        {
            "latents": "perceiver.latents",
            "layers.1.0.to_kv.weight": "perceiver.layers.1.0.to_kv.weight",
            "layers.0.1.3.weight": "perceiver.layers.0.1.3.weight",
            "norm.weight": "perceiver.norm.weight",
        },
    ),
]


@pytest.mark.parametrize(("form", "make", "names"), PUBLISHED)
def test_the_original_names(form, make, names):
    state = make().state_dict()
    theirs = to_published(state, form)
    for ours, name in names.items():
        assert theirs[name] is state[ours]
    ours, dropped = from_published(theirs, form)
    assert not dropped
    left = {"text_projection.weight"} | (
        {"language_projection.weight", "language_projection.bias"} if form == "openflamingo" else set()
    )
    assert set(state) - set(ours) <= left
    assert all(torch.equal(ours[name], state[name]) for name in ours)


@pytest.mark.parametrize(
    ("tensors", "form", "message"),
    [
        ({"a": torch.ones(1)}, "blip3", r"format='blip3': must be one of llava"),
        ({"visual.w": torch.ones(1)}, "blip2", r"no tensor is named as 'blip2'.*the first is 'visual\.w'"),
        ({}, "idefics2", r"the first is 'none'"),
        (
            {"Qformer.bert.pooler.weight": torch.ones(1)},
            "blip2",
            r"Qformer\.bert\.pooler\.weight .*unknown to the format 'blip2'",
        ),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(tensors, form, message):
    with pytest.raises(ValueError, match=message):
        from_published(tensors, form)


def test_a_bridge_that_a_format_has_no_name_for_is_refused():
    with pytest.raises(
        ValueError, match=r"mm_projector\.weight, mm_projector\.bias have no name in the format 'blip2'"
    ):
        to_published(Linear(12, 8).state_dict(), "blip2")


def test_the_command_carries_there_and_back(tmp_path, capsys):
    state = to_published(QFormer(12, 8, **QFORMER).state_dict(), "blip2")
    others = {
        "visual_encoder.w": torch.ones(2),
        "Qformer.bert.embeddings.word_embeddings.weight": torch.ones(3),
        "Qformer.cls.\x1b[2J": torch.ones(1),
    }
    save_file(state | others, tmp_path / "in.safetensors")
    assert (
        main(
            [
                "convert",
                str(tmp_path / "in.safetensors"),
                str(tmp_path / "ours" / "q.safetensors"),
                "--from",
                "blip2",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "not carried: Qformer.bert.embeddings.word_embeddings.weight (BERT's embeddings" in out
    assert f"{len(state)} tensors" in out
    assert "not carried: Qformer.cls.\N{REPLACEMENT CHARACTER}[2J" in out
    assert (
        main(
            [
                "convert",
                str(tmp_path / "ours" / "q.safetensors"),
                str(tmp_path / "back.safetensors"),
                "--to",
                "blip2",
            ]
        )
        == 0
    )
    back = load_file(tmp_path / "back.safetensors")
    assert set(back) == set(state)
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert main(["convert", str(tmp_path / "in.safetensors"), str(tmp_path / "x"), "--from", "blip3"]) == 2
    assert "format='blip3'" in capsys.readouterr().err


def first_stage(bridge=None):
    bridge = bridge or QFormer(12, 8, **QFORMER)
    return weights_of(Alignment(bridge, vocabulary=20, max_length=9, embed_dim=4))


def run_of(bridge, **more):
    """A run's checkpoint: its bridge with moments, a scale and what else it trains."""
    torch.manual_seed(1)
    state = {f"model.bridge.{name}": value for name, value in bridge.state_dict().items()}
    own = {"mean": torch.randn(12), "std": torch.rand(12) + 0.2, "scale": torch.tensor(3.0), **more}
    return {"state_dict": state | {f"model.{name}": value for name, value in own.items()}}


NOT_STANDARDIZED = {
    "mean": torch.zeros(1),
    "std": torch.ones(1),
}  # of a run that went on from a published bridge


@pytest.mark.parametrize(
    ("make", "form", "moments"),
    [
        (Linear, "llava", {}),
        (MLP, "llava", {}),
        (MLP, "llava", NOT_STANDARDIZED),
        (functools.partial(QFormer, **QFORMER), "blip2", NOT_STANDARDIZED),
        (functools.partial(Idefics2Perceiver, **GROUPED), "idefics2", NOT_STANDARDIZED),
    ],
)
def test_a_runs_moments_and_scale_are_in_the_weights_that_others_read(tmp_path, make, form, moments):
    bridge, read = make(12, 8).double(), make(12, 8).double()
    run = run_of(bridge, **moments)
    torch.save(run, tmp_path / "last.ckpt")
    assert main(["convert", str(tmp_path / "last.ckpt"), str(tmp_path / "x.safetensors"), "--to", form]) == 0
    read.load_state_dict(from_published(load_file(tmp_path / "x.safetensors"), form)[0])
    mean, std, scale = (run["state_dict"][f"model.{name}"].double() for name in ("mean", "std", "scale"))
    patches = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(read(patches), scale * bridge((patches - mean) / std), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (lambda: run_of(QFormer(12, 8, **QFORMER)), "blip2", "only linear and mlp can take mean and deviation"),
        (lambda: run_of(Idefics2Perceiver(12, 8, **GROUPED)), "idefics2", "only linear and mlp can take mean and deviation"),
        (lambda: run_of(PerceiverResampler(12, 8, **LATENTS)), "openflamingo", "bridgelab push RUN ORG/NAME"),
        (lambda: run_of(PerceiverResampler(12, 8, **LATENTS), **NOT_STANDARDIZED), "openflamingo", "language_projection.bias of the run have no name"),
        (lambda: run_of(QFormer(12, 8, **QFORMER, conditioning="question"), **NOT_STANDARDIZED), "instructblip_hf", "text_projection.weight of the run have no name"),
        (lambda: run_of(MLP(12, 8), positions=torch.zeros(4, 12)), "llava", "the run also trained positions"),
        (lambda: run_of(Linear(12, 8), soft_prompt=torch.zeros(2, 8)), "llava", "the run also trained soft_prompt"),
        (lambda: {"state_dict": {"model.bridge.query_tokens": torch.ones(1), "model.log_temp": torch.ones(1)}}, "blip2_stage1", "'bridgelab align' on"),
        (first_stage, "blip2_stage1", "'bridgelab train bridge=qformer bridge.init_from="),
    ],
)  # fmt: skip
def test_what_others_would_read_otherwise_is_not_written(tmp_path, capsys, content, form, message):
    source, aligned = tmp_path / "x.safetensors", {"stage": "alignment"}
    if "state_dict" in (written := content()):
        source = tmp_path / "last.ckpt"
        torch.save(written, source)
    else:
        write_weights(written, source, aligned)
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--to", form]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("form", "bridge", "next_one"),
    [
        ("blip2", lambda: QFormer(192, 128, **WIDE), "evaluate --bridge"),
        ("llava_hf", lambda: MLP(12, 8), "evaluate --bridge"),
        ("blip2_stage1", lambda: QFormer(192, 128, **WIDE), "train bridge=qformer bridge.num_queries=3"),
        ("blip2_itm_hf", lambda: QFormer(192, 128, **WIDE), "train bridge=qformer bridge.num_queries=3"),
        ("instructblip_hf", lambda: QFormer(192, 128, **WIDE, conditioning="question"), "train bridge=qformer"),
        ("openflamingo", lambda: PerceiverResampler(192, 128, num_queries=3, depth=2, num_heads=1, head_dim=64), "train bridge=perceiver"),
    ],
)  # fmt: skip
def test_what_is_advised_next_works(tmp_path, capsys, form, bridge, next_one):
    """A bridge without its projection can be trained, and not evaluated."""
    is_first_stage = form in ("blip2_stage1", "blip2_itm_hf")
    state = first_stage(bridge()) if is_first_stage else bridge().state_dict()
    if form == "openflamingo":
        state = {name: value for name, value in state.items() if not name.startswith("language_projection.")}
    published = to_published(state, form)
    save_file(published, tmp_path / "in.safetensors")
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "in.safetensors"), str(out), "--from", form]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(f"Next: bridgelab {next_one}")
    assert str(out) in line
    words = [word for word in shlex.split(line)[2:] if not word.endswith("=NAME")]
    if is_first_stage:  # whose FFNs for words have read captions: BLIP-2's second stage sees no question
        assert "bridge.conditioning=none" in words
    if words[0] == "evaluate":
        return
    check_training(words[1:])
    config = compose_sweep(conf_folder(), words[1:]).config
    kind, choices = target(config.bridge, "bridge"), bridge_choices(config.bridge, None)
    kept = load_weights(kind(192, 128, **choices), load_file(out))
    assert {name.partition(".")[0] for name in kept} <= {"language_projection", "text_projection"}


STAGE1 = {
    "word_embeddings.weight": "Qformer.bert.embeddings.word_embeddings.weight",
    "position_embeddings.weight": "Qformer.bert.embeddings.position_embeddings.weight",
    "layernorm.weight": "Qformer.bert.embeddings.LayerNorm.weight",
    "layer.2.ffn_text.dense.bias": "Qformer.bert.encoder.layer.2.intermediate.dense.bias",
    "layer.2.ffn_text.output.LayerNorm.bias": "Qformer.bert.encoder.layer.2.output.LayerNorm.bias",
    "lm_head.dense.weight": "Qformer.cls.predictions.transform.dense.weight",
    "lm_head.LayerNorm.bias": "Qformer.cls.predictions.transform.LayerNorm.bias",
    "lm_head.bias": "Qformer.cls.predictions.bias",
    "vision_proj.weight": "vision_proj.weight",
    "text_proj.bias": "text_proj.bias",
    "itm_head.weight": "itm_head.weight",
    "temp": "temp",
}


def test_a_first_stages_checkpoint_is_carried_there_and_back():
    state = first_stage()
    theirs = to_published(state, "blip2_stage1")
    for ours, name in STAGE1.items():
        assert theirs[name] is state[ours]
    # BERT's output layer is the word embeddings, and LAVIS's checkpoints hold it twice.
    tied = "Qformer.cls.predictions.decoder.weight"
    assert torch.equal(theirs[tied], state["word_embeddings.weight"])
    others = {
        "Qformer.bert.embeddings.position_ids": torch.arange(9)[None],
        "visual_encoder.pos_embed": torch.ones(1),
    }
    ours, dropped = from_published(theirs | others, "blip2_stage1")
    assert set(ours) == set(state)
    assert all(torch.equal(ours[name], state[name]) for name in state)
    copies = {tied, "Qformer.cls.predictions.decoder.bias"}
    assert set(dropped) == copies | {"Qformer.bert.embeddings.position_ids"}
    assert all("a copy of" in dropped[name] for name in copies)


def test_an_untied_output_layer_is_refused():
    theirs = to_published(first_stage(), "blip2_stage1")
    theirs["Qformer.cls.predictions.decoder.weight"] += 1
    with pytest.raises(ValueError, match=r"decoder\.weight is not equal to .*word_embeddings\.weight"):
        from_published(theirs, "blip2_stage1")


def test_a_first_stage_has_no_place_in_the_second_stages_format():
    with pytest.raises(
        ValueError, match=r"word_embeddings\.weight.* have no name in the format 'blip2'.*blip2_stage1"
    ):
        to_published(first_stage(), "blip2")
