import numpy as np
import torch
from tiny_t5 import TINY

from bridgelab.pretraining.t5.batches import collate
from bridgelab.pretraining.t5.evaluate import caption_scores
from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.pretraining.t5.model import make_model, make_tokenizer

SHARES = {"question": 10, "caption": 1, "look_up": 2}


def test_captions_are_scored_by_what_the_model_generates():
    """A model that generates the target has every attribute right; one that repeats a word has hardly any."""
    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    batch = collate(
        [x for x in lessons("train", 0, 0, scenes=20, shares=SHARES) if x.family == "caption"][:4],
        "compact",
        vocabulary,
        np.random.default_rng(0),
    )

    class Parrot:
        shared = make_model(TINY, vocabulary, 0).shared

        def __init__(self, ids):
            self.ids = ids

        def generate(self, **_):
            return self.ids

    start = torch.zeros(4, 1, dtype=torch.long)
    target = torch.cat([start, batch["target"]], 1)
    assert caption_scores(Parrot(target), batch, vocabulary) == [1.0] * 4
    red = torch.full_like(target, vocabulary["red"])
    assert max(caption_scores(Parrot(red), batch, vocabulary)) <= 0.25
