"""The order of training examples: the same for every bridge and every init seed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Step:
    """One step's batch.

    Args:
        pool: its name.
        rows: this process's rows of the pool.
        all_rows: the rows of all processes.
    """

    pool: str
    rows: np.ndarray
    all_rows: np.ndarray


def stratified_indices(examples: int, most: int) -> list[int]:
    """Return the indices of at most `most` examples: one drawn at random from each of as many equal stretches, always the same.

    They are spread so that questions are about as many images as possible. They are drawn because, in a benchmark with ten
    questions per image, every tenth would be an image's first, and first questions differ from the others (in the built-in
    world, twice as many compare).
    """
    if most >= examples:
        return list(range(examples))
    if most < 1:
        return []
    ends = np.arange(most + 1) * examples // most
    return np.random.default_rng(0).integers(ends[:-1], ends[1:]).tolist()


class MixtureSampler:
    """Batches from pools of examples, by the weights of a stage.

    Every batch comes from one pool, because captions and short answers differ tenfold in length. The pool furthest behind its
    share is next, so that the mixture is right to within a batch at any step. Rows are consecutive permutations of the pool. A
    batch depends on the arguments alone. The state is therefore a position, and a resumed run sees the same batches.

    Args:
        pools: the length of each example in tokens, by pool.
        stages: {share: of all steps, <pool>: weight, ...}, in order; shares are normalised.
        steps: the number of batches.
        batch_size: examples in a batch, over all processes.
        seed: the data seed.
        window: batches that are sorted by length together; 1 does not sort.
    Raises:
        ValueError: if a stage draws from no pool, or weights or shares are not positive.
    """

    def __init__(
        self,
        pools: Mapping[str, Sequence[int] | np.ndarray],
        stages: Sequence[Mapping[str, float]],
        *,
        steps: int,
        batch_size: int,
        seed: int,
        window: int = 1,
    ):
        self.lengths = {name: np.asarray(lengths) for name, lengths in pools.items() if len(lengths)}
        self.names = sorted(self.lengths)
        self.steps, self.batch_size, self.seed, self.window = steps, batch_size, seed, max(1, window)
        self.rank, self.world_size, self.micro_batches = 0, 1, 1
        self.position = 0
        self._pool_of, self._nth = self._plan(stages)
        self._shuffled: dict[str, tuple[int, np.ndarray]] = {}
        sizes = {name: len(self.lengths[name]) for name in self.names}
        plan = [sizes, [dict(s) for s in stages], steps, batch_size, seed, self.window]
        self.signature = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        while self.position < self.steps:
            self.position += 1  # before the yield: a state saved while the batch is in use counts it as done
            yield self.batch(self.position - 1)

    def batch(self, step: int) -> Step:
        """Return this process's share of a step's batch."""
        pool = self.names[self._pool_of[step]]
        rows = self._rows(pool, int(self._nth[step]))
        return Step(pool, rows[self.rank :: self.world_size], rows)

    def shard(self, rank: int, world_size: int, micro_batches: int = 1) -> None:
        """Give process `rank` of `world_size` its share of every batch, in `micro_batches` over which gradients are accumulated.

        Raises:
            ValueError: if the batch can't be divided evenly.
        """
        if self.batch_size % (world_size * micro_batches):
            raise ValueError(
                f"train.batch_size={self.batch_size} is not divisible by {world_size} processes"
                + (f" times trainer.accumulate_grad_batches={micro_batches}" if micro_batches > 1 else "")
                + ". Make it a multiple."
            )
        self.rank, self.world_size, self.micro_batches = rank, world_size, micro_batches

    def state_dict(self) -> dict[str, Any]:
        """Return the position and a hash of the order it belongs to."""
        return {"position": self.position, "signature": self.signature}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the state was saved.

        Raises:
            ValueError: if it is a position in another order of examples.
        """
        if state["signature"] != self.signature:
            raise ValueError(
                f"the checkpoint's order of examples is {state['signature']}, this run's {self.signature}: "
                "examples, stages, steps, batch size or data_seed differ. Start in a fresh run directory."
            )
        self.position = state["position"]

    def counts(self) -> dict[str, int]:
        """Return the number of batches of each pool."""
        return {name: int((self._pool_of == k).sum()) for k, name in enumerate(self.names)}

    def _plan(self, stages: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray]:
        if not stages:
            raise ValueError(
                "train.stages holds 0 stages: at least 1 is needed, such as [{share: 1, answer: 1}]."
            )
        shares = np.array([stage.get("share", 1.0) for stage in stages], dtype=float)
        if (shares <= 0).any():
            raise ValueError(
                f"train.stages has the shares {shares.tolist()}: each must be positive. Leave a stage out."
            )
        ends = np.rint(np.cumsum(shares) / shares.sum() * self.steps).astype(int)
        pool_of, first = np.zeros(self.steps, dtype=np.int8), 0
        for stage, end in zip(stages, ends, strict=True):
            drawn = {name: weight for name, weight in stage.items() if name != "share" and weight}
            if any(weight < 0 for weight in drawn.values()):
                raise ValueError(f"stage {dict(stage)} has a negative weight: weights are 0 or more.")
            weights = np.array([drawn.get(name, 0.0) for name in self.names])
            if not weights.sum():
                raise ValueError(
                    f"stage {dict(stage)} draws from none of the pools that have examples "
                    f"({', '.join(self.names) or 'none'}). Give one of them a weight in train.stages."
                )
            weights = weights / weights.sum()
            counts = np.zeros_like(weights)
            for step in range(first, end):
                behind = weights * (step - first + 1) - counts
                pool_of[step] = behind.argmax()
                counts[pool_of[step]] += 1
            first = end
        nth = np.zeros(self.steps, dtype=np.int64)
        for k in range(len(self.names)):
            nth[pool_of == k] = np.arange((pool_of == k).sum())
        return pool_of, nth

    def _rows(self, pool: str, nth: int) -> np.ndarray:
        per_epoch = max(1, len(self.lengths[pool]) // self.batch_size)
        epoch, batch = divmod(nth, per_epoch)
        if self._shuffled.get(pool, (-1,))[0] != epoch:
            self._shuffled[pool] = (epoch, self._shuffle(pool, epoch, per_epoch))
        return self._shuffled[pool][1][batch]

    def _shuffle(self, pool: str, epoch: int, per_epoch: int) -> np.ndarray:
        """Return all batches of an epoch [batch, row]."""
        # The pool's name enters the seed, so that adding a pool does not change the order of the others.
        name = int.from_bytes(hashlib.sha256(pool.encode()).digest()[:4], "big")
        rng = np.random.default_rng([self.seed, name, epoch])
        lengths, total = self.lengths[pool], per_epoch * self.batch_size
        rounds = -(-total // len(lengths))
        rows = np.concatenate([rng.permutation(len(lengths)) for _ in range(rounds)])[:total]
        if self.window > 1:
            span = self.window * self.batch_size
            for first in range(0, total, span):
                part = rows[first : first + span]
                part = part[np.argsort(lengths[part], kind="stable")].reshape(-1, self.batch_size)
                rows[first : first + span] = rng.permutation(part).reshape(-1)
        return rows.reshape(per_epoch, self.batch_size)
