"""The smallest T5 that tests train, and a batch for it."""

import torch

TINY = {
    "d_model": 16,
    "d_kv": 4,
    "num_heads": 4,
    "d_ff": 32,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "dropout_rate": 0.0,
}


def tiny_batch(text):
    """Return three examples of five patches with prompts and targets of different lengths."""
    torch.manual_seed(0)
    prompt, mask = text.tokenize(["what is it ?", "is there a red cube left of a sphere", "describe"])
    labels, real = text.tokenize(["red cube", "yes", "a blue sphere"])
    return {
        "patches": torch.randn(3, 5, 6),
        "prompt": prompt,
        "prompt_mask": mask,
        "labels": torch.where(real, labels, -100)[:, :4].contiguous(),
    }
