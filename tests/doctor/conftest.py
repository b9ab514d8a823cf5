import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from transformers import T5Config

from bridgelab.training import main as train  # sets BRIDGELAB_ROOT

CONF = Path(os.environ["BRIDGELAB_ROOT"]) / "conf"


@pytest.fixture
def conf():
    return CONF


@pytest.fixture
def composed():
    """A run's config from overrides."""

    def make(*overrides):
        assert CONF.parent == train.ROOT
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", list(overrides))

    return make


@pytest.fixture
def shape():
    """A T5 at which a test takes milliseconds, deeper than what is tried of it."""
    config = T5Config(
        vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=7, num_decoder_layers=6, num_heads=2,
        relative_attention_num_buckets=8, relative_attention_max_distance=16, feed_forward_proj="gated-gelu",
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    config.own_head = True
    return config
