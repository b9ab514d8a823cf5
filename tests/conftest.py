"""Both frozen sides at a size at which a test takes milliseconds: random weights, real classes."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import T5Config, T5ForConditionalGeneration

pytest_plugins = ["simulated_study", "tiny_experiment"]  # fixtures of several rooms
WORDS = "<pad> </s> <unk> . yes no true false what is it red blue cube sphere a there ? describe left of 1 2 3".split()


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("there is no GPU: torch.cuda.is_available() is false")


class TinyText:
    """The text side's contract over a random T5 of two layers; a token is a word."""

    placed = checkpointing = False

    def __init__(
        self, seed: int = 0, dim: int = 16, dtype: torch.dtype = torch.float32, act: str = "gated-gelu"
    ):
        torch.manual_seed(seed)
        config = T5Config(
            vocab_size=len(WORDS), d_model=dim, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=1, num_heads=2,
            relative_attention_num_buckets=8, relative_attention_max_distance=16, feed_forward_proj=act,
            dropout_rate=0.1, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        )  # fmt: skip
        self.model = T5ForConditionalGeneration._from_config(config, attn_implementation="eager", dtype=dtype)
        self.model.requires_grad_(False).eval()
        self.dim = dim

    @property
    def fingerprint(self) -> str:
        weights = b"".join(p.detach().float().numpy().tobytes() for p in self.model.parameters())
        return hashlib.sha256(weights).hexdigest()[:16]

    @property
    def embedding_rms(self) -> float:
        return self.model.shared.weight.float().square().mean().sqrt().item()

    def tokenize(self, texts, *, end=True):
        rows = [[WORDS.index(w) if w in WORDS else 2 for w in text.split()] + [1] * end for text in texts]
        length = -(-max(map(len, rows)) // 8) * 8
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], dtype=torch.long)
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], dtype=torch.bool)
        return ids, mask

    def unknown(self, words):
        return [word for word in words if word not in WORDS]

    def embed(self, ids):
        return self.model.shared(ids)

    def embed_words(self, scenes):
        rows = [[WORDS.index(w) if w in WORDS else 2 for w in s.split()] for s in scenes]
        longest = max(map(len, rows))
        ids = [row + [3] * (longest - len(row)) for row in rows]
        return self.embed(torch.tensor(ids, dtype=torch.long).reshape(len(scenes), longest))

    def log_likelihood(self, visual_tokens, prompt, target):
        """The log-likelihood of one target, by transformers' own loss, after visual tokens [1, token, dim] and a prompt."""
        ids, mask = self.tokenize([prompt])
        labels, _ = self.tokenize([target])
        labels = labels[labels != 0][None]
        inputs = torch.cat([visual_tokens, self.embed(ids[mask][None])], 1)
        return -self.model(inputs_embeds=inputs, labels=labels).loss.item() * labels.shape[1]

    def decode(self, ids):
        return [" ".join(WORDS[k] for k in row if k > 1) for row in ids.tolist()]


class TinyVision:
    """The vision side's contract: a random projection of the mean colours of a 2 × 2 grid."""

    grid, cls = (2, 2), False

    def __init__(self, seed: int = 0, dim: int = 6):
        self.dim = dim
        self.weight = torch.randn(3, dim, generator=torch.Generator().manual_seed(seed))
        self.seen = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.weight.numpy().tobytes()).hexdigest()

    def to(self, device):
        return self

    def pixels(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float() / 255, self.grid)

    def __call__(self, pixels):
        self.seen += len(pixels)
        return pixels.flatten(2).transpose(1, 2) @ self.weight

    def patches(self, images):
        return self(self.pixels(images))


@pytest.fixture(scope="session")
def tiny_text_class():
    return TinyText


@pytest.fixture
def tiny_text():
    return TinyText()


@pytest.fixture
def tiny_vision():
    return TinyVision()


@pytest.fixture
def images(tmp_path):
    """Paths of six small images, no two alike."""
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{k}.png") for k in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return paths
