"""The tokenizer of the world's language, and a T5 at its initialization: transformers' own classes."""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from bridgelab.pretraining.t5.batches import END, PAD
from bridgelab.world.layout import WORDS
from bridgelab.world.vocabulary import words
from bridgelab.world.words import COLUMNS, ROWS

LOCAL_BIAS = 5.0  # relative position bias with which a local head starts
SIMILARITY_REACH = 2.0  # columns or rows over which their words start out similar


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word of the world's language. Any other word is `<unk>`."""
    vocabulary = {word: k for k, word in enumerate(["<pad>", "</s>", "<unk>", *words()])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="right",
    )


def make_model(
    settings: dict[str, Any], vocabulary: dict[str, int], seed: int, local: Sequence[int] = ()
) -> T5ForConditionalGeneration:
    """Return a T5 at its initialization. Words of neighbouring columns, and of neighbouring rows, start out similar.

    Args:
        settings: of `T5Config`.
        vocabulary: id of each word.
        seed: of all that is drawn.
        local: heads of the encoder that start out attending to the words beside, as far as an object's phrase reaches:
            every second one to the left, the others to the right. This helps to bind the words of one object.
    """
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=-(-len(vocabulary) // 8) * 8,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
        **settings,
    )
    model = T5ForConditionalGeneration._from_config(config, attn_implementation="eager")
    if config.dense_act_fn == "gelu_new":
        for block in (*model.encoder.block, *model.decoder.block):
            # The same function in one pass over memory instead of eight.
            block.layer[-1].DenseReluDense.act = nn.GELU(approximate="tanh")
    with torch.no_grad():
        model.shared.weight.normal_(0, 0.5)
        # The output layer shares these weights: logits start small, as in the T5 that scales them.
        model.decoder.final_layer_norm.weight.fill_(settings["d_model"] ** -0.5)
        for line in (COLUMNS, ROWS):
            _correlate_neighbours(model.shared.weight, [vocabulary[word] for word in line])
        _start_locally(model, config, local)
    return model


def _correlate_neighbours(embedding: torch.Tensor, ids: list[int]) -> None:
    """Correlate, in place, the embeddings of words by their distance along a line: their order is a fact."""
    k = torch.arange(len(ids), dtype=torch.float64)
    covariance = torch.exp(-0.5 * ((k[:, None] - k) / SIMILARITY_REACH) ** 2) * 0.9 + 0.1 * torch.eye(
        len(ids)
    )
    embedding[ids] = torch.linalg.cholesky(covariance).to(embedding.dtype) @ embedding[ids]


def _start_locally(model: Any, config: Any, local: Sequence[int]) -> None:
    attention = model.encoder.block[0].layer[0].SelfAttention  # its bias is every block's
    for place, head in enumerate(local):
        beside = torch.arange(1, WORDS) * (1 if place % 2 else -1)
        buckets = attention._relative_position_bucket(
            beside,
            num_buckets=config.relative_attention_num_buckets,
            max_distance=config.relative_attention_max_distance,
        )
        attention.relative_attention_bias.weight[buckets, head] = LOCAL_BIAS
