"""The costs of a run: seconds, operations and bytes, as a dry run measures them. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes.

    Args:
        text: weights of the T5, and copies of them that its encoder makes once.
        vision: weights of the ViT, which stays beside it.
        trained: weights, gradients and the optimizer's state of what is trained.
        step: activations and temporary tensors of a training step, at its peak.
    """

    text: float
    vision: float
    trained: float
    step: float


@dataclass(frozen=True)
class Answering:
    """Cost of an evaluation: seconds an example to encode, generate and score it, and bytes that a batch takes besides weights."""

    encode: float
    generate: float
    score: float
    bytes: float = 0.0


@dataclass(frozen=True)
class Costs:
    """Costs of a run, as measured.

    Args:
        step: seconds of a training step, averaged over the pools; 0 if nothing is trained.
        flops: operations of a training step on one example, forward and backward.
        image: seconds to read and encode an image.
        encoding: bytes that a batch of images takes on its way into the feature store, besides weights.
        answering: of each kind of example.
        memory: of training.
        process: bytes that the process takes before it loads a model; 0 on a GPU.
    """

    step: float
    flops: float
    image: float
    encoding: float
    answering: Mapping[str, Answering]
    memory: Memory
    process: int = 0

    @property
    def phases(self) -> dict[str, float]:
        """Bytes that each phase of a run takes beside weights and the optimizer's state."""
        evaluation = max((one.bytes for one in self.answering.values()), default=0.0)
        return {"a step": self.memory.step, "an evaluation's batch": evaluation, "encoding": self.encoding}

    @property
    def peak(self) -> float:
        """Bytes of the whole run at its peak."""
        memory = self.memory
        return self.process + memory.text + memory.vision + memory.trained + max(self.phases.values())
