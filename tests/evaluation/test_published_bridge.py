"""A published bridge is evaluated and asked without training: transformers' own BLIP-2 with the same weights says what is right."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Blip2Config, Blip2ForConditionalGeneration

import bridgelab
from bridgelab import backbones
from bridgelab.bridge.convert import to_published
from bridgelab.bridge.init_from import METADATA
from bridgelab.bridge.perceiver import PerceiverResampler
from bridgelab.bridge.published import published_choices, read_metadata, training_overrides
from bridgelab.cli import main as cli
from bridgelab.config import instantiate as building
from bridgelab.data.image_files import read_image
from bridgelab.evaluation.published_bridge import _run_name
from bridgelab.report.write import report
from bridgelab.runs.study import read_study
from bridgelab.text.t5 import ASSETS
from bridgelab.training import main

QUERIES = 3
IMAGE = 136  # a token of the model that the miniature's tokenizer never gives


class Blip2Vision:
    """BLIP-2's ViT as the vision side: all that stands before `post_layernorm`, which our Q-Former holds."""

    grid, cls, fingerprint = (2, 2), True, "blip2"

    def __init__(self, model):
        self.model, self.dim = model, model.config.hidden_size

    def to(self, device):
        return self

    def pixels(self, images):
        resized = torch.nn.functional.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float(), (8, 8))
        return resized / 255 - 0.5

    @torch.no_grad()
    def __call__(self, pixels):
        return self.model.encoder(self.model.embeddings(pixels)).last_hidden_state

    def patches(self, images):
        return self(self.pixels(images))


@pytest.fixture(scope="module")
def blip2():
    """A tiny BLIP-2 over a T5 with the miniature's tokenizer and BLIP-2's activation."""
    torch.manual_seed(0)
    vision = {"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
              "patch_size": 4}  # fmt: skip
    bert = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
            "encoder_hidden_size": 12, "use_qformer_text_input": False}  # fmt: skip
    text = {"model_type": "t5", "d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 1,
            "vocab_size": IMAGE + 1, "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu", "decoder_start_token_id": 0,
            "pad_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False}  # fmt: skip
    config = Blip2Config(
        vision_config=vision,
        qformer_config=bert,
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=IMAGE,
    )
    model = Blip2ForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
    assert model.language_model.config.dense_act_fn == "gelu"
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, std=0.3)
        if "norm" in name.lower() and name.endswith("weight"):
            p.data.add_(1)
    model.language_model.lm_head.weight.data[[0, 1, 2, IMAGE]] = 0  # so that answers are made of words
    return model


@pytest.fixture
def files(blip2, tmp_path, monkeypatch, world):
    """The reader's folder and the checkpoint, as they would be downloaded; overrides that name both sides."""
    reader = tmp_path / "reader"
    # The reader's own activation differs from BLIP-2's, as Flan-T5's does.
    blip2.language_model.config.dense_act_fn = "gelu_new"
    blip2.language_model.save_pretrained(reader)
    blip2.language_model.config.dense_act_fn = "gelu"
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ASSETS / "text" / file, reader)
    blip2.save_pretrained(tmp_path / "blip2")
    build = building.build

    def with_blips_vision(config, *args, **kwargs):
        if config._target_.startswith("bridgelab.vision."):
            return Blip2Vision(blip2.vision_model)
        return build(config, *args, **kwargs)

    monkeypatch.setattr(backbones, "build", with_blips_vision)
    monkeypatch.chdir(tmp_path)
    return [
        "vision=blip2_eva_g", "text=blip2_flan_t5_xl", f"text.path={reader}", "text.dtype=float32", "text.attention=eager",
        "bridge.num_heads=4", "data.dtype=float32", f"benchmark.root={world}", f"paths.features={tmp_path}/features",
        "train.precision=fp32",
    ]  # fmt: skip


SMALL = (
    "benchmark.images={train:6,val:3,test:4}",
    "benchmark.processes=1",
    "benchmark.questions_per_image=3",
)


def published(blip2, tokenizer, image, prompt, target):
    """What transformers' BLIP-2 answers, and the log-probability of the target."""
    pixels = Blip2Vision(blip2.vision_model).pixels(torch.from_numpy(read_image(str(image)))[None])
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[IMAGE] * QUERIES + [*ids, 1]])
    labels = torch.tensor([[*tokenizer(target, add_special_tokens=False)["input_ids"], 1]])
    with torch.no_grad():
        inputs = {"pixel_values": pixels, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        answer = blip2.generate(**inputs, max_new_tokens=70, do_sample=False)[0, 1:]
        loss = blip2(**inputs, labels=labels).loss
    return tokenizer.decode(answer, skip_special_tokens=True), -loss.item() * labels.shape[1]


def test_blip2_answers_as_transformers_does(blip2, files, world, tmp_path, capsys):
    checkpoint, out = tmp_path / "blip2" / "model.safetensors", tmp_path / "blip2.safetensors"
    assert cli.main(["convert", str(checkpoint), str(out), "--from", "blip2_hf"]) == 0
    assert f"bridgelab evaluate --bridge {out} vision=NAME" in capsys.readouterr().out
    # LAVIS's layout of the same bridge becomes the same file.
    lavis, again = tmp_path / "lavis.safetensors", tmp_path / "again.safetensors"
    assert cli.main(["convert", str(out), str(lavis), "--to", "blip2"]) == 0
    assert cli.main(["convert", str(lavis), str(again), "--from", "blip2"]) == 0
    first, second = load_file(out), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_metadata(out) == read_metadata(again) | {"format": "blip2_hf"}
    capsys.readouterr()
    assert cli.main(["evaluate", "--bridge", str(out), *files, *SMALL]) == 0
    folder = tmp_path / capsys.readouterr().out.strip()
    tokenizer = bridgelab.T5(str(tmp_path / "reader")).tokenizer
    rows = pd.read_parquet(folder / "predictions.parquet").query("view == 'image'").to_dict("records")
    assert len(rows) >= 8
    for row in rows:
        image = world / "images" / row["image"]
        answer, likelihood = published(blip2, tokenizer, image, row["prompt"], row["target"])
        assert answer.startswith(row["prediction"])
        assert row["prediction"]
        assert row["likelihood"] == pytest.approx(likelihood, abs=2e-3)
    assert len({row["prediction"] for row in rows}) > 1
    # The record is an evaluation's, and the report reads it.
    record = json.loads((folder / "metrics.json").read_text())
    assert (record["bridge"], record["steps"], record["benchmark"]) == ("qformer", 0, "world")
    assert record["init_from"].startswith("blip2.safetensors@")
    assert record["costs"]["visual_tokens"] == QUERIES
    assert read_study(folder.parent).bridges == ("qformer",)
    report(folder.parent)
    assert "qformer" in (folder.parent / "table.md").read_text()
    before = (folder / "metrics.json").stat().st_mtime_ns
    assert cli.main(["evaluate", "--bridge", str(out), *files, *SMALL]) == 0  # it is there
    assert (folder / "metrics.json").stat().st_mtime_ns == before
    # Asked alone, it says the same.
    image = world / "images" / rows[0]["image"]
    capsys.readouterr()
    assert cli.main(["answer", "--bridge", str(out), *files, str(image), rows[0]["prompt"]]) == 0
    assert capsys.readouterr().out.startswith(rows[0]["prediction"])


def test_blip2_is_trained_further_from_its_own_tokens(blip2, files, config, tmp_path, caplog):
    """The moments of a run's images would make others, which its norm before the patches does not undo."""
    caplog.set_level("INFO")
    out = tmp_path / "blip2.safetensors"
    cli.main(["convert", str(tmp_path / "blip2" / "model.safetensors"), str(out), "--from", "blip2_hf"])
    moments = {"mean": torch.randn(12), "std": torch.rand(12) + 0.5}
    both = backbones.Backbones(config(*training_overrides(out), *files), "cpu")
    model = both.model(0, **moments)
    patches = torch.randn(1, 5, 12)
    with torch.no_grad():
        normed = blip2.vision_model.post_layernorm(patches)
        queries = blip2.qformer(query_embeds=blip2.query_tokens, encoder_hidden_states=normed)[0]
        torch.testing.assert_close(
            model._raw_prefix({"patches": patches}), blip2.language_projection(queries)
        )
    assert "published for patches as they are: they are not standardized" in caplog.text
    # Beside a ViT of another width, all that meets the patches is new.
    both.vision_dim = 10
    assert torch.equal(
        both.model(0, **{name: value[:10] for name, value in moments.items()}).mean, moments["mean"][:10]
    )


def test_the_readers_own_activation_would_answer_otherwise(blip2, files, tmp_path, capsys):
    out = tmp_path / "blip2.safetensors"
    cli.main(["convert", str(tmp_path / "blip2" / "model.safetensors"), str(out), "--from", "blip2_hf"])
    values = {}
    for act in ("gelu", "null"):
        given = [*files, *SMALL, f"text.dense_act_fn={act}", f"study=act_{act}", "evaluate.limit.answer=3"]
        capsys.readouterr()
        assert cli.main(["evaluate", "--bridge", str(out), *given]) == 0
        folder = tmp_path / capsys.readouterr().out.strip()
        assert folder.parent.name == f"act_{act}_on_world"
        record = json.loads((folder / "metrics.json").read_text())
        values[act] = record["metrics"]["test/likelihood_answer"], record["fingerprints"]["text"]
    assert abs(values["gelu"][0] - values["null"][0]) > 1e-5
    assert values["gelu"][1] != values["null"][1]


def test_llava_is_read_as_it_is_and_its_reader_is_named(
    tiny, tiny_text, tiny_vision, world, tmp_path, capsys, caplog, monkeypatch
):
    torch.manual_seed(0)
    weights = {"model.mm_projector.0.weight": torch.randn(10, 6), "model.mm_projector.0.bias": torch.randn(10),
               "model.mm_projector.2.weight": torch.randn(16, 10), "model.mm_projector.2.bias": torch.randn(16)}  # fmt: skip
    torch.save(weights, tmp_path / "mm_projector.bin")
    out = tmp_path / "llava.safetensors"
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert", str(tmp_path / "mm_projector.bin"), str(out), "--from", "llava"]) == 0
    own = [
        f"benchmark.root={world}",
        f"paths.features={tmp_path}/features",
        "data.dtype=float32",
        "train.precision=fp32",
        *SMALL,
    ]
    assert cli.main(["evaluate", "--bridge", str(out), *own]) == 0
    assert "was trained for Vicuna: a T5 has not learned to read its tokens" in caplog.text
    # No standardisation, no scale: the likelihoods are those of the published equation.
    folder = tmp_path / capsys.readouterr().out.strip().splitlines()[-1]
    row = pd.read_parquet(folder / "predictions.parquet").query("view == 'image'").iloc[0]
    w1, b1, w2, b2 = (value.double() for value in weights.values())
    patches = tiny_vision.patches(torch.from_numpy(read_image(str(world / "images" / row["image"])))[None])
    tokens = torch.nn.functional.gelu(patches.double() @ w1.T + b1) @ w2.T + b2
    expected = tiny_text.log_likelihood(tokens.float(), row["prompt"], row["target"])
    assert row["likelihood"] == pytest.approx(expected, abs=1e-3)


def test_a_run_answers_the_same_from_llavas_names(tiny, config, world, tmp_path, capsys, monkeypatch):
    """LLaVA neither standardizes patches nor scales tokens: both are in the weights then."""
    monkeypatch.chdir(tmp_path)
    exact = ("bridge=mlp", "data.dtype=float32", "train.precision=fp32")
    run = tmp_path / "own" / "bridge=mlp"
    main.run(config(*exact, "train.steps=0"), run, bridge="mlp")
    theirs, ours = tmp_path / "llava.safetensors", tmp_path / "ours.safetensors"
    assert cli.main(["convert", str(run / "last.ckpt"), str(theirs), "--to", "llava"]) == 0
    assert "folded into the weights: the patches' mean" in capsys.readouterr().out
    assert cli.main(["convert", str(theirs), str(ours), "--from", "llava"]) == 0
    own = [f"benchmark.root={world}", f"paths.features={tmp_path}/features", *exact[1:], *SMALL]
    assert cli.main(["evaluate", "--bridge", str(ours), *own]) == 0
    again = tmp_path / capsys.readouterr().out.strip().splitlines()[-1]
    expected, found = (
        pd.read_parquet(folder / "predictions.parquet").set_index(["id", "kind", "view"])["likelihood"]
        for folder in (run, again)
    )
    common = expected.xs("image", level="view").dropna()
    assert len(common) >= 8
    np.testing.assert_allclose(found.xs("image", level="view")[common.index], common, atol=1e-4)


SHAPES = {  # tensors of each publication's size by our names, and what is read off them
    "qformer": (
        {"query_tokens": (1, 32, 768), "layer.0.ffn_query.dense.weight": (3072, 768),
         **{f"layer.{i}.attention.attention.query.weight": (768, 768) for i in range(12)},
         **{f"layer.{i}.crossattention.attention.key.weight": (768, 1408) for i in range(0, 12, 2)}},
        {"num_queries": 32, "depth": 12, "width": 768, "num_heads": 12, "cross_attention_every": 2, "ffn_ratio": 4,
         "conditioning": "none"},
    ),
    "perceiver": (
        {"latents": (64, 1024), **{f"layers.{i}.0.to_q.weight": (512, 1024) for i in range(6)}, "layers.0.1.1.weight": (4096, 1024)},
        {"num_queries": 64, "depth": 6, "num_heads": 8, "head_dim": 64, "ffn_dim": 4096},
    ),
    "perceiver_idefics2": (
        {"perceiver_resampler.latents": (64, 4096), "modality_projection.gate_proj.weight": (14336, 1152),
         **{f"perceiver_resampler.layers.{i}.self_attn.q_proj.weight": (1536, 4096) for i in range(3)},
         "perceiver_resampler.layers.0.self_attn.k_proj.weight": (384, 4096),
         "perceiver_resampler.layers.0.mlp.gate_proj.weight": (16384, 4096)},
        {"num_queries": 64, "depth": 3, "num_heads": 16, "num_kv_heads": 4, "head_dim": 96, "hidden_dim": 14336, "ffn_dim": 16384},
    ),
    "mlp": ({"mm_projector.0.weight": (4096, 1024), "mm_projector.2.weight": (4096, 4096)}, {"hidden_dim": 4096}),
    "linear": ({"mm_projector.weight": (4096, 1024)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_choices_are_read_off_the_shapes(name):
    shapes, choices = SHAPES[name]
    tensors = {tensor: torch.empty(shape, device="meta") for tensor, shape in shapes.items()}
    assert published_choices(tensors) == (name, choices)


@pytest.mark.parametrize(
    "shapes",
    [
        {"mm_projector.0.weight": ()},
        {"latents": (), "layers.0.0.to_q.weight": (512, 1024), "layers.0.1.1.weight": (4096, 1024)},
        {"query_tokens": (1, 32, 0), "layer.0.ffn_query.dense.weight": (0, 0)},
    ],
)
def test_tensors_without_a_size_are_refused(shapes):
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=f"the bridge of '{next(iter(shapes))}' is incomplete"):
        published_choices(tensors)


def test_a_bridges_name_is_no_path():
    hub, plain = "hf://x/y", {"seed": 0}
    assert (
        _run_name("x/../../y", hub, f"{hub}@0123456789", **plain) == "bridge=x_.._.._y,init_from=x_y@01234567"
    )
    assert _run_name("perceiver", "warm", "", **plain) == "bridge=perceiver,init_from=warm,seed=0"


def test_bad_input(tiny, world, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [f"benchmark.root={world}", f"paths.features={tmp_path}/features", *SMALL]
    good = {"mm_projector.weight": torch.zeros(16, 6), "mm_projector.bias": torch.zeros(16)}
    save_file(good, tmp_path / "good.safetensors")
    (tmp_path / "pickle.bin").write_bytes(b"\x80\x04")
    save_file(
        {"mm_projector.weight": torch.zeros(16, 5), "mm_projector.bias": torch.zeros(16)},
        tmp_path / "narrow.safetensors",
    )
    perceiver = PerceiverResampler(6, 16, num_queries=3, depth=1, num_heads=1, head_dim=64)
    save_file(to_published(perceiver.state_dict(), "openflamingo"), tmp_path / "flamingo.safetensors")
    assert (
        cli.main(["convert", "flamingo.safetensors", "resampler.safetensors", "--from", "openflamingo"]) == 0
    )
    save_file({"perceiver.latents": torch.zeros(3, 6)}, tmp_path / "incomplete.safetensors")
    for name, text in (
        ("deep", "[" * 100_000),
        ("number", '{"bridge": 5, "choices": {}}'),
        ("list", "[]"),
        ("null", "null"),
        ("escape", '{"bridge": "mlp\\u001b[2J", "choices": {}}'),
        ("env", '{"bridge": "mlp", "choices": {"hidden_dim": "\\u0024{oc.env:HOME}"}}'),
    ):
        save_file(good, tmp_path / f"{name}.safetensors", {METADATA: text})
    for words, message in (
        (["evaluate", "--bridge", "nowhere.safetensors"], "nowhere.safetensors is not a file. Name a file that 'bridgelab convert"),
        (["evaluate", "--bridge", "pickle.bin"], "pickle.bin is not a safetensors file"),
        (["evaluate", "--bridge", "deep.safetensors"], "readable metadata (recursion limit exceeded"),
        (["evaluate", "--bridge", "number.safetensors"], "number.safetensors holds bridge=5: input should be a valid string. Write it by"),
        (["evaluate", "--bridge", "list.safetensors"], "list.safetensors is []: input should be"),
        (["evaluate", "--bridge", "null.safetensors"], "null.safetensors is None: input should be"),
        (["evaluate", "--bridge", "escape.safetensors"], "bridge='mlp\\x1b[2J': string should match pattern"),
        (["evaluate", "--bridge", "env.safetensors"], "readable metadata (it holds an interpolation"),
        (["evaluate", "--bridge", "narrow.safetensors", *own], "mm_projector.weight have another shape"),
        (["evaluate", "--bridge", "good.safetensors", "bridge=mlp", *own], "are not in this bridge. Give the bridge the choices"),
        (["evaluate", "--bridge", "good.safetensors", "model.positions=true", *own], "adds positions, which good.safetensors does not hold"),
        (["evaluate", "--bridge", "good.safetensors", "model.insert=cross_attention", *own], "adds blocks of cross-attention, which good.safe"),
        (["evaluate", "--bridge", "good.safetensors", "text.adapt=prompt", *own], "adds an adapter, which good.safetensors does not hold"),
        (["evaluate", "--bridge", "good.safetensors", "bridge._target_=mine.Bridge", *own], "is code from outside bridgelab"),
        (["evaluate", "--bridge", "good.safetensors", "optim=adamw"], "optim changes nothing here: nothing is trained"),
        (["evaluate", "--bridge", "resampler.safetensors", *own],
         "leaves language_projection.weight, language_projection.bias at initial values, which are random"),
        (["convert", "incomplete.safetensors", "out", "--from", "openflamingo"], "the bridge of 'latents' is incomplete"),
        (["answer", "only a question"], "a run and an image must come before the question"),
    ):  # fmt: skip
        assert cli.main(words) == 2, words
        assert message in capsys.readouterr().err
