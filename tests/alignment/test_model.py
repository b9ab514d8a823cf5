"""The losses of BLIP-2's first stage against loops in float64, and against transformers' class with the same weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_alignment import CHOICES, IGNORED, LENGTH, PATCHES, VISION, WORDS, aligned, batch_of
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from bridgelab.alignment.contrastive import contrastive_loss, hard_negatives, similarity
from bridgelab.alignment.weights import weights_of
from bridgelab.bridge.convert import to_published
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.weights import load_weights


class Reference:
    """BLIP-2's section 3 in plain loops over one pair at a time, without padding and without batches."""

    def __init__(self, model):
        self.p = dict(model.named_parameters())
        self.heads, self.depth, self.queries = CHOICES["num_heads"], CHOICES["depth"], CHOICES["num_queries"]
        self.cls, self.dec = WORDS, WORDS + 1

    def linear(self, x, name):
        return x @ self.p[name + ".weight"].T + self.p[name + ".bias"]

    def norm(self, x, name, eps=1e-12):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return scaled * self.p[name + ".weight"] + self.p[name + ".bias"]

    def attention(self, x, context, allowed, name):
        q, k, v = (
            self.linear(y, f"{name}.attention.{part}")
            for y, part in ((x, "query"), (context, "key"), (context, "value"))
        )
        size = q.shape[1] // self.heads
        rows = []
        for i in range(len(x)):
            mixed = []
            for h in range(self.heads):
                part = slice(h * size, (h + 1) * size)
                keys = [j for j in range(len(context)) if allowed(i, j)]
                scores = torch.stack([q[i, part] @ k[j, part] for j in keys]) / math.sqrt(size)
                weights = scores.exp() / scores.exp().sum()
                mixed.append(sum(w * v[j, part] for w, j in zip(weights, keys, strict=True)))
            rows.append(torch.cat(mixed))
        return self.norm(
            self.linear(torch.stack(rows), f"{name}.output.dense") + x, f"{name}.output.LayerNorm"
        )

    def feed(self, x, name):
        inner = self.linear(x, f"{name}.dense")
        inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
        return self.norm(self.linear(inner, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")

    def read(self, patches, ids, allowed):
        """Queries (if `patches` is given) and words after all layers; `allowed(i, j)`: may token i read token j?"""
        count = 0 if patches is None else self.queries
        parts = [] if patches is None else [self.p["bridge.query_tokens"][0]]
        if ids is not None:
            positions = self.p["position_embeddings.weight"][: len(ids)]
            parts.append(self.p["word_embeddings.weight"][ids] + positions)
        x = self.norm(torch.cat(parts), "bridge.layernorm")
        seen = None if patches is None else self.norm(patches, "bridge.ln_vision", 1e-6)
        for i in range(self.depth):
            name = f"bridge.layer.{i}"
            x = self.attention(x, x, allowed, f"{name}.attention")
            out = []
            if count:
                queries = x[:count]
                if i % 2 == 0:
                    queries = self.attention(queries, seen, lambda i, j: True, f"{name}.crossattention")
                out.append(self.feed(queries, f"{name}.ffn_query"))
            if ids is not None:
                out.append(self.feed(x[count:], f"{name}.ffn_text"))
            x = torch.cat(out)
        return x[:count], x[count:]

    def causal(self, i, j):
        """Queries read queries; words read queries and the words up to themselves."""
        return j < self.queries or (i >= self.queries and j <= i)

    def losses(self, batch, negatives):
        captions = [[self.cls, *row[row != IGNORED].tolist()] for row in batch["labels"]]
        pairs, everything = range(len(captions)), lambda i, j: True
        unit = lambda x: x / x.square().sum(-1, keepdim=True).sqrt()  # noqa: E731
        images, texts = [], []
        for k in pairs:
            queries, _ = self.read(batch["patches"][k], None, everything)
            images.append(unit(self.linear(queries, "vision_proj")))
            _, words = self.read(None, captions[k], everything)
            texts.append(unit(self.linear(words[0], "text_proj")))
        temp = self.p["log_temp"].exp()
        sim = torch.stack([torch.stack([(images[i] @ texts[t]).max() for t in pairs]) for i in pairs]) / temp

        def smoothed(logits, target):
            log_p = logits - logits.exp().sum().log()
            return -(0.9 * (target * log_p).sum() + 0.1 * log_p.mean())

        number = batch["image"]
        target = torch.stack([(number == n).double() / (number == n).sum() for n in number])
        itc = sum(smoothed(sim[k], target[k]) + smoothed(sim[:, k], target[k]) for k in pairs) / (
            2 * len(captions)
        )

        itm = []
        for image, text in [(k, k) for k in pairs] + negatives:
            queries, _ = self.read(batch["patches"][image], captions[text], everything)
            logits = self.linear(queries, "itm_head").mean(0)
            itm.append(-(logits - logits.exp().sum().log())[int(number[image] == number[text])])

        itg = []
        for k in pairs:
            ids = [self.dec, *captions[k][1:]]
            _, words = self.read(batch["patches"][k], ids[:-1], self.causal)
            for word, target_id in zip(words, ids[1:], strict=True):
                inner = self.linear(word, "lm_head.dense")
                inner = self.norm(0.5 * inner * (1 + torch.erf(inner / math.sqrt(2))), "lm_head.LayerNorm")
                logits = inner @ self.p["word_embeddings.weight"].T + self.p["lm_head.bias"]
                one = torch.zeros_like(logits)
                one[target_id] = 1
                itg.append(smoothed(logits, one))
        return {"itc": itc, "itm": sum(itm) / len(itm), "itg": sum(itg) / len(itg)}, sim


def negatives_of(sim, batch):
    """The pairs (image, text) that the draws choose, by walking through each row's softmax."""
    number, draws = batch["image"], batch["draws"].double()

    def walk(row, own, u):
        weights = [0.0 if number[k] == own else math.exp(x) for k, x in enumerate(row.tolist())]
        left = u * sum(weights)
        for k, weight in enumerate(weights):
            if weight and left < weight:
                return k
            left -= weight
        raise AssertionError

    pairs = range(len(number))
    images = [(walk(sim[:, k], number[k], float(draws[k, 0])), k) for k in pairs]
    return images + [(k, walk(sim[k], number[k], float(draws[k, 1]))) for k in pairs]


@pytest.mark.parametrize("images", [(0, 1, 2, 3), (0, 1, 0, 2)])
def test_losses_and_gradients_are_the_papers(images):
    model, batch = aligned(), batch_of(images=images)
    with torch.no_grad():
        _, sim = Reference(model).losses(batch, [])
    expected, _ = Reference(model).losses(batch, negatives_of(sim, batch))
    losses = model(batch)
    trained = [p for p in model.parameters() if p.requires_grad]
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-9, atol=1e-9, msg=name)
        found = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
        wanted = torch.autograd.grad(expected[name], trained, retain_graph=True, allow_unused=True)
        for p, a, b in zip(trained, found, wanted, strict=True):
            torch.testing.assert_close(
                torch.zeros_like(p) if a is None else a, torch.zeros_like(p) if b is None else b,
                rtol=1e-7, atol=1e-9,
            )  # fmt: skip


def retrieval_model(model):
    """transformers' class with the weights of ours; its vision model is replaced by the identity."""
    width = CHOICES["width"]
    config = Blip2Config(
        vision_config={"hidden_size": VISION, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4},
        qformer_config={
            "hidden_size": width, "num_hidden_layers": CHOICES["depth"], "num_attention_heads": CHOICES["num_heads"],
            "intermediate_size": 4 * width, "encoder_hidden_size": VISION, "use_qformer_text_input": True,
            "vocab_size": WORDS + 2, "max_position_embeddings": LENGTH + 1, "attn_implementation": "eager",
        },
        image_text_hidden_size=5,
        num_query_tokens=CHOICES["num_queries"],
    )  # fmt: skip
    theirs = Blip2ForImageTextRetrieval(config).eval()
    weights = to_published(weights_of(model), "blip2_itm_hf")
    norm = {name: weights.pop(f"vision_model.post_layernorm.{name}") for name in ("weight", "bias")}
    report = theirs.load_state_dict(weights, strict=False)
    assert not report.unexpected_keys
    assert all(name.startswith("vision_model.") for name in report.missing_keys)

    class Normed(torch.nn.Module):
        def forward(self, pixel_values, **_):
            return (
                torch.nn.functional.layer_norm(pixel_values, (VISION,), norm["weight"], norm["bias"], 1e-6),
            )

    theirs.vision_model = Normed()
    return theirs


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_contrast_and_matching_are_transformers(dtype, tolerance):
    model = aligned(dtype).eval()
    theirs, batch = retrieval_model(model).to(dtype), batch_of(dtype=dtype)
    ids, mask = model.captions(batch["labels"])
    inputs = {"pixel_values": batch["patches"], "input_ids": ids, "attention_mask": mask.long()}
    contrast = theirs(**inputs).logits_per_image
    ours = similarity(model.encode_images(batch["patches"]), model.encode_texts(batch["labels"]))
    torch.testing.assert_close(ours, contrast, rtol=tolerance, atol=tolerance)
    matching = theirs(**inputs, use_image_text_matching_head=True).logits_per_image
    patch_kv = model._project_patches(batch["patches"])
    torch.testing.assert_close(
        model.matching_logits(patch_kv, ids, mask), matching, rtol=tolerance, atol=tolerance
    )


def test_the_first_stages_weights_begin_the_second():
    model = aligned(torch.float32).eval()
    lines = []
    bridge = QFormer(VISION, 4, **CHOICES).eval()
    kept = load_weights(bridge, weights_of(model), lines.append)
    assert set(kept) == {"language_projection.weight", "language_projection.bias"}
    assert "text side" in lines[0]
    patches = torch.randn(2, PATCHES, VISION)
    queries = bridge.read(bridge.layernorm(bridge.query_tokens), bridge.project_patches(patches), 3)
    torch.testing.assert_close(model._image(queries), model.encode_images(patches))
    # Told the question, it keeps the text FFNs of all layers but the last, which has none there.
    told = QFormer(VISION, 4, **CHOICES, conditioning="question")
    kept = load_weights(told, weights_of(model))
    assert set(kept) == {"text_projection.weight", "language_projection.weight", "language_projection.bias"}
    assert torch.equal(told.layer[0].ffn_text.dense.weight, model.bridge.layer[0].ffn_text.dense.weight)


def test_every_trained_weight_gets_a_gradient():
    model = aligned(torch.float32)
    sum(model(batch_of(dtype=torch.float32)).values()).backward()
    lacking = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert lacking == set()
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == {
        "bridge.language_projection.weight", "bridge.language_projection.bias",
    }  # fmt: skip


def test_padding_changes_nothing():
    model, batch = aligned(), batch_of()
    longer = torch.nn.functional.pad(batch["labels"], (0, 2), value=IGNORED)
    for name, loss in model(batch).items():
        torch.testing.assert_close(model(batch | {"labels": longer})[name], loss, rtol=1e-9, atol=1e-9)


def test_bfloat16_is_near_float32():
    model, batch = aligned(torch.float32), batch_of(dtype=torch.float32)
    exact = model(batch)
    model.precision = "bf16"
    for name, loss in model(batch).items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.1, atol=0.1)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_a_hard_negative_is_of_another_image_and_drawn_by_its_similarity(size, seed):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, 3, (size,), generator=generator)
    same, logits = numbers[:, None] == numbers, 3 * torch.randn(size, size, generator=generator)
    draws = torch.linspace(0, 1 - 1e-4, 2001)
    for row in range(size):
        rows = torch.full((2001,), row)
        drawn = hard_negatives(logits[rows], same[rows], draws)
        if same[row].all():
            continue
        assert not same[row, drawn].any()
        expected = logits[row].masked_fill(same[row], -math.inf).softmax(0)
        shares = torch.bincount(drawn, minlength=size) / 2001
        torch.testing.assert_close(shares, expected, atol=2e-3, rtol=0)


def test_with_one_caption_per_image_the_contrast_is_the_plain_one():
    torch.manual_seed(0)
    a, b = torch.randn(4, 4), torch.randn(4, 4)
    plain = [torch.nn.functional.cross_entropy(x, torch.arange(4), label_smoothing=0.1) for x in (a, b)]
    torch.testing.assert_close(contrastive_loss(a, b, torch.eye(4).bool()), sum(plain) / 2)
