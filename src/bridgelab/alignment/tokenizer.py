"""A T5's tokenizer without its weights, for training that has no language model in the loop."""

import hashlib
import json

from torch import nn

from bridgelab.text.t5 import ASSETS, SHIPPED, T5, resolve_path


class TokenizerOnly(T5):
    """A T5 that tokenizes and does nothing else: its weights are not read.

    Args:
        path: as in `T5`.
    Raises:
        ValueError: if the folder holds another kind of model, no tokenizer or an unusable one.
        FileNotFoundError: if the folder does not exist.
        OSError: if the hub does not deliver the files.
    """

    def __init__(self, path: str = "miniature"):
        nn.Module.__init__(self)
        folder = str(ASSETS / SHIPPED[path]) if path in SHIPPED else resolve_path(path)
        self.config = self._read_tokenizer(path, folder)

    @property
    def dim(self) -> int:
        """Channels of one position of the T5."""
        return self.config.d_model

    @property
    def vocabulary(self) -> int:
        """The number of ids that the tokenizer may return."""
        return 1 + max(self.tokenizer.get_vocab().values())

    @property
    def fingerprint(self) -> str:
        """Hash of the vocabulary."""
        words = json.dumps(sorted(self.tokenizer.get_vocab().items()))
        return hashlib.sha256(words.encode()).hexdigest()[:16]
