"""Configurations of the published T5s, to estimate the cost of one before it is downloaded.

Source: the configurations published with T5 (Raffel et al. 2020, arXiv:1910.10683), T5 v1.1 and Flan-T5 (Chung et al.
2022, arXiv:2210.11416). v1.1 and Flan share one shape: a gated GELU, and an output matrix of its own.
"""

import re

from transformers import T5Config

VOCABULARY = 32128
NAME = re.compile(r"(?:[\w.-]+/)?(?P<family>t5|t5-v1_1|flan-t5)-(?P<size>\w+)")
# d_model, d_kv, d_ff, num_heads, and layers of the encoder (the decoder has as many)
FIRST = {
    "small": (512, 64, 2048, 8, 6),
    "base": (768, 64, 3072, 12, 12),
    "large": (1024, 64, 4096, 16, 24),
    "3b": (1024, 128, 16384, 32, 24),
    "11b": (1024, 128, 65536, 128, 24),
}
LATER = {
    "small": (512, 64, 1024, 6, 8),
    "base": (768, 64, 2048, 12, 12),
    "large": (1024, 64, 2816, 16, 24),
    "xl": (2048, 64, 5120, 32, 24),
    "xxl": (4096, 64, 10240, 64, 24),
}


def published_config(name: str) -> T5Config | None:
    """Return the configuration of a published T5; None if it is not one.

    Args:
        name: on the hub, such as google/flan-t5-xl, google/t5-v1_1-base or google-t5/t5-3b.
    """
    match = NAME.fullmatch(name)
    shapes = FIRST if match and match["family"] == "t5" else LATER
    if not match or match["size"] not in shapes:
        return None
    d_model, d_kv, d_ff, heads, layers = shapes[match["size"]]
    return T5Config(
        vocab_size=VOCABULARY,
        d_model=d_model,
        d_kv=d_kv,
        d_ff=d_ff,
        num_heads=heads,
        num_layers=layers,
        num_decoder_layers=layers,
        feed_forward_proj="relu" if shapes is FIRST else "gated-gelu",
        tie_word_embeddings=shapes is FIRST,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
