"""The smallest T5 that the reader's tests train."""

TINY = {
    "d_model": 16,
    "d_kv": 4,
    "num_heads": 4,
    "d_ff": 32,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "dropout_rate": 0.0,
}
