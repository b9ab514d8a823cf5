import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridgelab.pretrain.batches import Lessons, collate
from bridgelab.pretrain.lessons import PREFIXES, lessons
from bridgelab.pretrain.text import loss_and_hits, make_model, make_tokenizer
from bridgelab.world.question import FAMILIES
from bridgelab.world.words import scene_words

SHARES = {"question": 8, "explain": 2, "caption": 1, "look_up": 2}
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


def test_explanations_open_with_the_answer(made):
    explained = [lesson for lesson in made if lesson.family == "explain"]
    assert explained
    assert all(
        lesson.target.split()[0] in "yes no".split() + [str(n) for n in range(11)] + colors()
        for lesson in explained
    )


def colors():
    from bridgelab.world.scene import ATTRIBUTES

    return [v for values in ATTRIBUTES.values() for v in values]


@pytest.mark.parametrize("form", PREFIXES)
def test_a_prefix_holds_each_object_and_filler(made, form):
    rng = np.random.default_rng(0)
    for lesson in made[::10]:
        prefix = [" ".join(words) for words in PREFIXES[form](lesson.scene, rng)]
        assert len(prefix) == {"compact": 16, "patch_like": 64}[form]
        assert set(prefix) - {"."} == set(scene_words(lesson.scene))


def test_loss_is_the_mean_cross_entropy_over_real_tokens(made):
    tokenizer = make_tokenizer()
    model = make_model(TINY, len(tokenizer), 0)
    batch = collate(made[:8], "compact", tokenizer.get_vocab(), np.random.default_rng(0))
    loss, _ = loss_and_hits(model, batch)
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


def test_going_on_at_a_chunk_gives_the_batches_of_an_uninterrupted_run():
    vocabulary = make_tokenizer().get_vocab()
    settings = {
        "seed": 0,
        "batch": 16,
        "scenes": 6,
        "shares": SHARES,
        "forms": {"compact": 0.5, "patch_like": 0.5},
    }
    whole = iter(Lessons(vocabulary, start=0, **settings))
    resumed = iter(Lessons(vocabulary, start=1, **settings))
    while int(next(whole)["chunk"]) != 0:
        pass
    for _ in range(3):
        a, b = next(whole), next(resumed)
        assert all(torch.equal(a[k], b[k]) for k in ("prefix", "prompt", "target"))


def test_every_family_is_taught():
    many = lessons("train", 1, 0, scenes=40, shares=SHARES)
    assert {lesson.family for lesson in many} >= set(FAMILIES)
