import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from bridgelab.pretraining import text
from bridgelab.pretraining.reader.batches import UNTOLD, Lessons, collate
from bridgelab.pretraining.reader.lessons import lessons
from bridgelab.pretraining.reader.traces import ROLES
from bridgelab.pretraining.text import (
    TraceHeads,
    blurred,
    captions_by_attribute,
    loss_and_hits,
    make_model,
    make_tokenizer,
    train,
)
from bridgelab.world.layout import LAYOUTS, WORDS
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.words import COLUMNS, SLOTS, scene_words

ROOT = Path(__file__).parents[2]
SHARES = {"question": 10, "caption": 1, "look_up": 2}
TINY = {
    "d_model": 16,
    "d_kv": 4,
    "num_heads": 4,
    "d_ff": 32,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "dropout_rate": 0.0,
}


@pytest.fixture(scope="module")
def made():
    return lessons("train", 0, 0, scenes=20, shares=SHARES)


def test_a_chunk_is_the_same_each_time_and_no_split_repeats_another(made):
    assert made == lessons("train", 0, 0, scenes=20, shares=SHARES)
    other = {lesson.scene.objects for lesson in lessons("val", 0, 0, scenes=20, shares=SHARES)}
    assert not other & {lesson.scene.objects for lesson in made}


@pytest.mark.parametrize("form", LAYOUTS)
@pytest.mark.parametrize("cut", [0.0, 0.5, 1.0])
def test_a_prefix_says_each_object_in_its_words(made, form, cut):
    """Read in order and without filler, the pieces are the scene's phrases; in `patch_like` some of them twice."""
    vocabulary = make_tokenizer().get_vocab()
    said = {k: word for word, k in vocabulary.items()}
    batch = collate(made[::10], form, vocabulary, np.random.default_rng(0), cut)
    for k, lesson in enumerate(made[::10]):
        pieces = [[said[i] for i in p if i >= 0] for p in batch["prefix"][k].tolist()]
        words = [word for piece in pieces for word in piece if word != "."]
        phrases = [" ".join(words[k : k + WORDS]) for k in range(0, len(words), WORDS)]
        assert set(phrases) == set(scene_words(lesson.scene))
        assert len(phrases) == len(lesson.scene.objects) or form == "patch_like"
        lengths = {len(piece) for piece in pieces if piece != ["."]}
        assert lengths == {WORDS} if cut == 0 else lengths == {1} if cut == 1 else len(lengths) > 2
        # What each position is told to bind: the phrase that the words there are part of.
        told = batch["phrases"][k].tolist()
        assert [t[0] >= 0 for t in told] == [piece != ["."] for piece in pieces]
        for piece, indices in zip(pieces, told, strict=True):
            if piece != ["."]:
                whole = [slot[i] for slot, i in zip(SLOTS, indices, strict=True)]
                assert " ".join(piece) in " ".join(whole)
                assert " ".join(whole) in phrases


def test_traces_stand_where_the_object_stands(made):
    vocabulary = make_tokenizer().get_vocab()
    question = next(lesson for lesson in made if lesson.family == "one_hop_count")
    batch = collate([question], "patch_like", vocabulary, np.random.default_rng(0))
    asked = batch["traces"][0, :, ROLES.index("asked")]
    filler = batch["prefix"][0, :, 1] < 0
    assert (asked[filler] == -1).all()
    assert (asked[~filler] >= 0).all()
    inside = {tuple(row) for row in batch["prefix"][0][asked == 1].tolist()}
    phrases = [scene_words(question.scene)[k] for k in question.trace["asked"]]
    assert inside == {tuple(vocabulary[word] for word in phrase.split()) for phrase in phrases}
    assert (batch["traces"][0, :, ROLES.index("found_0_3")] == -1).all()


def test_the_heads_loss_is_cross_entropy_over_what_is_told():
    torch.manual_seed(0)
    heads = TraceHeads(8, tagged=1, bound=2, traced=[2, 3])
    hidden = tuple(torch.randn(2, 5, 8) for _ in range(4))
    traces = torch.randint(-1, 2, (2, 3, len(ROLES)))
    tags = torch.tensor([[-1, 4], [UNTOLD, 0]])
    phrases = torch.stack([torch.randint(0, len(slot), (2, 3)) for slot in SLOTS], -1)
    phrases[0, 1] = -1  # filler
    loss, counts = heads(hidden, {"traces": traces, "tags": tags, "phrases": phrases})
    of_objects: list[list[float]] = [[], []]
    right = 0
    for k, (head, states) in enumerate(zip(heads.objects, hidden[2:], strict=True)):
        for b, p in np.ndindex(2, 3):
            for logit, told in zip(head(states[b, p]), traces[b, p].tolist(), strict=True):
                if told >= 0:
                    of_objects[k].append(-F.logsigmoid(logit if told else -logit).item())
                    right += k == 1 and bool(logit > 0) == bool(told)
    of_words = [
        -heads.words(hidden[1][b, 3 + t]).log_softmax(-1)[tags[b, t] + 1].item()
        for b, t in ((0, 0), (0, 1), (1, 1))
    ]
    of_phrases, of_phrases_right = [], 0
    for b, p in np.ndindex(2, 3):
        logits, first = heads.phrases(hidden[2][b, p]), 0
        for slot, index in zip(SLOTS, phrases[b, p].tolist(), strict=True):
            if index >= 0:
                of_phrases.append(-logits[first : first + len(slot)].log_softmax(-1)[index].item())
                of_phrases_right += int(logits[first : first + len(slot)].argmax()) == index
            first += len(slot)
    assert len(of_phrases) == 5 * WORDS
    expected = np.mean([np.mean(terms) for terms in of_objects]) + np.mean(of_words) + np.mean(of_phrases)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert counts[0, :-2].sum() == right
    assert counts[1, :-2].sum() == (traces >= 0).sum()
    assert counts[1, -2:].tolist() == [3, 5 * WORDS]
    assert counts[0, -1] == of_phrases_right


def test_neighbouring_columns_start_alike():
    vocabulary = make_tokenizer().get_vocab()
    words = make_model(TINY, vocabulary, 0).shared.weight[[vocabulary[c] for c in COLUMNS]]
    near = torch.cosine_similarity(words[:-1], words[1:]).mean()
    far = torch.cosine_similarity(words[:-8], words[8:]).abs().mean()
    assert near > far + 0.2


def test_local_heads_start_out_looking_at_the_words_beside():
    vocabulary = make_tokenizer().get_vocab()
    bias, local = (
        make_model(TINY, vocabulary, 0, heads).encoder.block[0].layer[0].SelfAttention.compute_bias(20, 20)
        for heads in ((), (2, 3))
    )
    offset = torch.arange(20) - torch.arange(20)[:, None]  # of what is looked at from where one stands
    for head, side in ((2, -1), (3, 1)):
        beside = (offset * side >= 1) & (offset * side < WORDS)
        assert (local[0, head][beside] == 5).all()
        torch.testing.assert_close(local[0, head][~beside], bias[0, head][~beside])
    torch.testing.assert_close(local[0, :2], bias[0, :2])


def test_loss_is_the_mean_cross_entropy_over_real_tokens(made):
    tokenizer = make_tokenizer()
    model = make_model(TINY, tokenizer.get_vocab(), 0)
    batch = collate(made[:8], "compact", tokenizer.get_vocab(), np.random.default_rng(0))
    loss, _, none = loss_and_hits(model, batch)
    assert none is None
    total, count = 0.0, 0
    for k in range(8):  # one at a time, cut to its own length, embeddings added in a loop
        groups = batch["prefix"][k]
        rows = [model.shared.weight[[i for i in g.tolist() if i >= 0]].sum(0) for g in groups]
        prompt, target = (batch[n][k][batch[n][k] != 0] for n in ("prompt", "target"))
        embedded = torch.cat([torch.stack(rows), model.shared(prompt)])[None]
        logits = model(inputs_embeds=embedded, labels=target[None]).logits[0]
        total += F.cross_entropy(logits, target, reduction="sum").item()
        count += len(target)
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_blur_keeps_the_size_and_mixes_by_its_share():
    """Against its own definition: what is left of the signal, and of the noise, along and across the prefix."""
    prefix = torch.randn(4000, 3, 16) * 2.5
    assert torch.equal(blurred(prefix, 0.0, torch.Generator()), prefix)
    seen = blurred(prefix, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(seen, blurred(prefix, 0.5, torch.Generator().manual_seed(0)))
    touched = (seen != prefix).flatten(1).any(1)
    assert touched.float().mean() == pytest.approx(0.5, abs=0.03)
    assert seen[touched].square().mean().sqrt() == pytest.approx(2.5, rel=0.03)
    kept = (seen * prefix).sum((1, 2))[touched] / prefix.square().sum((1, 2))[
        touched
    ]  # an estimate of each a
    assert kept.mean() == pytest.approx(0.5, abs=0.03)  # uniform in [0, 1]
    assert kept.var() == pytest.approx(1 / 12 + (2 / 3) / 48, abs=0.02)  # and the noise along 48 dimensions


def test_going_on_at_a_chunk_gives_the_batches_of_an_uninterrupted_run():
    vocabulary = make_tokenizer().get_vocab()
    settings = {
        "seed": 0,
        "batch": 16,
        "scenes": 6,
        "shares": SHARES,
        "forms": {"compact": 0.5, "patch_like": 0.5},
        "cut": (0.0, 2.0),
        "objects": (3, 8),
        "families": FAMILIES,
    }
    whole = iter(Lessons(vocabulary, start=0, **settings))
    resumed = iter(Lessons(vocabulary, start=1, **settings))
    while int(next(whole)["chunk"]) != 0:
        pass
    for _ in range(3):
        a, b = next(whole), next(resumed)
        assert all(
            torch.equal(a[k], b[k]) for k in ("prefix", "phrases", "prompt", "target", "traces", "tags")
        )


def test_captions_are_measured_by_what_is_said(made):
    """A model that says the target word for word has every attribute; one that says the same word again, hardly any."""
    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    said = {k: word for word, k in vocabulary.items()}
    batch = collate(
        [x for x in made if x.family == "caption"][:4], "compact", vocabulary, np.random.default_rng(0)
    )

    class Says:
        shared = make_model(TINY, vocabulary, 0).shared

        def __init__(self, ids):
            self.ids = ids

        def generate(self, **_):
            return self.ids

    start = torch.zeros(4, 1, dtype=torch.long)
    told = torch.cat([start, batch["target"]], 1)
    assert captions_by_attribute(Says(told), batch, said) == [1.0] * 4
    red = torch.full_like(told, vocabulary["red"])
    assert max(captions_by_attribute(Says(red), batch, said)) <= 0.25


def test_every_family_is_taught():
    many = lessons("train", 1, 0, scenes=40, shares=SHARES)
    assert {lesson.family for lesson in many} >= set(FAMILIES)


def settings(reader="schooled"):
    with initialize_config_dir(str(ROOT / "conf" / "pretrain"), version_base="1.3"):
        return compose("text", [f"reader={reader}"])


def test_training_leaves_weights_card_and_page_and_goes_on_where_it_was(tmp_path):
    cfg = settings()
    cfg.update(
        {"out": str(tmp_path), "install": False, "lessons": 64, "batch": 16, "scenes_per_chunk": 4}
        | {
            "test_scenes": 2,
            "tagged_block": 1,
            "bound_block": 1,
            "traced_blocks": [1],
            "local_heads": [2, 3],
            "model": TINY,
        }
    )
    train(cfg)
    card = json.loads((tmp_path / "text_card.json").read_text())
    assert card["lessons"] >= 64
    assert card["recipe"]["trace_weight"] == cfg.trace_weight
    assert card["curve"][-1]["lessons"] == card["lessons"]
    assert "deep supervision" in (tmp_path / "README.md").read_text()
    weights = T5ForConditionalGeneration.from_pretrained(tmp_path / "text")
    assert not [name for name, _ in weights.named_parameters() if "heads" in name]
    again = train(cfg)  # nothing left to train: the same weights, measured again
    assert json.loads((tmp_path / "text_card.json").read_text()) == card
    assert {form: list(f) for form, f in again.items()} == {
        form: list(card["words"][form]["families"]) for form in again
    }
    cfg.lessons = 150
    train(cfg)
    longer = json.loads((tmp_path / "text_card.json").read_text())
    assert longer["lessons"] >= 150
    assert [point["lessons"] for point in longer["curve"]][: len(card["curve"])] == [
        point["lessons"] for point in card["curve"]
    ]


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    cfg = settings()
    cfg.update(
        {"install": False, "lessons": 150, "batch": 16, "scenes_per_chunk": 4, "checkpoint_every": 0}
        | {"test_scenes": 2, "tagged_block": 1, "bound_block": 1, "traced_blocks": [1], "local_heads": [2, 3]}
        | {"model": TINY, "seed": 3}
    )
    cfg.out = str(tmp_path / "whole")
    train(cfg)
    cfg.out = str(tmp_path / "killed")
    save, saved = text._save, []

    def save_and_die(path, model, heads, made, state):
        save(path, model, heads, made, state)
        saved.append(state["lessons"])
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(text, "_save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(cfg)
    monkeypatch.undo()
    assert 0 < saved[-1] < cfg.lessons
    train(cfg)
    first, second = (
        T5ForConditionalGeneration.from_pretrained(tmp_path / run / "text").state_dict()
        for run in ("whole", "killed")
    )
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name
