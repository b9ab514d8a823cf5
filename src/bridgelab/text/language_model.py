"""What a bridge needs of a frozen language model."""

from typing import Any, Protocol

from torch import Tensor


class LanguageModel(Protocol):
    """A frozen encoder-decoder that reads vectors as well as words."""

    dim: int
    fingerprint: str
    embedding_rms: float
    model: Any
    placed: bool  # by device_map, and not to be moved
    checkpointing: bool

    def tokenize(self, texts: list[str], *, end: bool = True) -> tuple[Tensor, Tensor]: ...
    def embed(self, ids: Tensor) -> Tensor: ...
    def embed_words(self, scenes: list[str]) -> Tensor: ...
    def decode(self, ids: Tensor) -> list[str]: ...
