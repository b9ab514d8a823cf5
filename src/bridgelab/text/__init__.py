"""The frozen language model: transformers' T5."""
