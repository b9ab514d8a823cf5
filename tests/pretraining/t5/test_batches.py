import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from bridgelab.config.root import config_root
from bridgelab.pretraining.t5.batches import Lessons, collate
from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.pretraining.t5.traces import ROLES
from bridgelab.pretraining.t5.training import ReaderTraining
from bridgelab.world.layout import LAYOUTS, WORDS
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.words import SLOTS, scene_words

CONF = config_root() / "conf" / "pretrain"
SHARES = {"question": 10, "caption": 1, "look_up": 2}


@pytest.fixture(scope="module")
def chunk():
    return lessons("train", 0, 0, scenes=20, shares=SHARES)


@pytest.mark.parametrize("form", LAYOUTS)
@pytest.mark.parametrize("cut", [0.0, 0.5, 1.0])
def test_a_prefix_holds_the_words_of_each_object(chunk, form, cut):
    """Read in order and without filler, the pieces are the scene's phrases; in `patch_like` some of them twice."""
    vocabulary = make_tokenizer().get_vocab()
    words_by_id = {k: word for word, k in vocabulary.items()}
    batch = collate(chunk[::10], form, vocabulary, np.random.default_rng(0), cut)
    for k, lesson in enumerate(chunk[::10]):
        pieces = [[words_by_id[i] for i in p if i >= 0] for p in batch["prefix"][k].tolist()]
        words = [word for piece in pieces for word in piece if word != "."]
        phrases = [" ".join(words[k : k + WORDS]) for k in range(0, len(words), WORDS)]
        assert set(phrases) == set(scene_words(lesson.scene))
        assert len(phrases) == len(lesson.scene.objects) or form.startswith("patch_like")
        lengths = {len(piece) for piece in pieces if piece != ["."]}
        if form == "patch_like_36" and len(words) > 36:
            continue  # cut less often, until the words fit
        assert lengths == {WORDS} if cut == 0 else lengths == {1} if cut == 1 else len(lengths) > 2
        # What each position must bind: the phrase that the words there are part of.
        phrase_ids = batch["phrases"][k].tolist()
        assert [ids[0] >= 0 for ids in phrase_ids] == [piece != ["."] for piece in pieces]
        for piece, indices in zip(pieces, phrase_ids, strict=True):
            if piece != ["."]:
                bound = [slot[i] for slot, i in zip(SLOTS, indices, strict=True)]
                assert " ".join(piece) in " ".join(bound)
                assert " ".join(bound) in phrases


def test_traces_stand_where_the_object_stands(chunk):
    vocabulary = make_tokenizer().get_vocab()
    question = next(lesson for lesson in chunk if lesson.family == "one_hop_count")
    batch = collate([question], "patch_like", vocabulary, np.random.default_rng(0))
    asked = batch["traces"][0, :, ROLES.index("asked")]
    filler = batch["prefix"][0, :, 1] < 0
    assert (asked[filler] == -1).all()
    assert (asked[~filler] >= 0).all()
    inside = {tuple(row) for row in batch["prefix"][0][asked == 1].tolist()}
    phrases = [scene_words(question.scene)[k] for k in question.trace["asked"]]
    assert inside == {tuple(vocabulary[word] for word in phrase.split()) for phrase in phrases}
    assert (batch["traces"][0, :, ROLES.index("found_0_3")] == -1).all()


def test_a_chunk_smaller_than_a_batch_is_refused():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("text", ["batch=1024"])
    with pytest.raises(ValueError, match=r"batch=1024 is more than the 624 lessons .* scenes_per_chunk=788"):
        ReaderTraining(cfg, {}, torch.device("cpu"))
    one = {"seed": 0, "start": 0, "scenes": 1, "forms": {"short": 1.0}, "objects": (3, 3)}
    few = Lessons({}, batch=14, shares=SHARES, families=FAMILIES, **one)
    with pytest.raises(ValueError, match=r"batch=14 is more than the \d+ lessons of chunk 0"):
        next(iter(few))


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
    uninterrupted = iter(Lessons(vocabulary, start=0, **settings))
    resumed = iter(Lessons(vocabulary, start=1, **settings))
    while int(next(uninterrupted)["chunk"]) != 0:
        pass
    for _ in range(3):
        a, b = next(uninterrupted), next(resumed)
        assert all(
            torch.equal(a[k], b[k]) for k in ("prefix", "phrases", "prompt", "target", "traces", "tags")
        )
