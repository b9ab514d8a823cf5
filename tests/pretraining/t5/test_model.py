import torch
from tiny_t5 import TINY

from bridgelab.pretraining.t5.model import make_model, make_tokenizer
from bridgelab.world.layout import WORDS
from bridgelab.world.words import COLUMNS


def test_neighbouring_columns_start_alike():
    vocabulary = make_tokenizer().get_vocab()
    words = make_model(TINY, vocabulary, 0).shared.weight[[vocabulary[c] for c in COLUMNS]]
    near = torch.cosine_similarity(words[:-1], words[1:]).mean()
    far = torch.cosine_similarity(words[:-8], words[8:]).abs().mean()
    assert near > far + 0.2


def test_local_heads_start_out_attending_to_the_words_beside():
    vocabulary = make_tokenizer().get_vocab()
    bias, local = (
        make_model(TINY, vocabulary, 0, heads).encoder.block[0].layer[0].SelfAttention.compute_bias(20, 20)
        for heads in ((), (2, 3))
    )
    offset = torch.arange(20) - torch.arange(20)[:, None]  # of the key from the query
    for head, sign in ((2, -1), (3, 1)):
        beside = (offset * sign >= 1) & (offset * sign < WORDS)
        assert (local[0, head][beside] == 5).all()
        torch.testing.assert_close(local[0, head][~beside], bias[0, head][~beside])
    torch.testing.assert_close(local[0, :2], bias[0, :2])
