"""Groups of parameters, as the optimizers of this package tell them apart."""

from typing import Any

from torch import Tensor, nn


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return trainable parameters in groups: weights of linear layers and convolutions (`matrix`), other tensors, and vectors.

    Bare projections are named `proj` and are [in, out], a weight's transpose. They have a group of their own (`transposed`).
    A convolution without groups is a linear layer on its windows. Other tensors are learned inputs, such as queries, and grouped
    convolutions. Vectors (norms, biases) have no weight decay. A group without parameters is left out.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    convolutions = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups == 1}
    matrices: list[Tensor] = []
    projections: list[Tensor] = []
    inputs: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            if id(p) in embeddings:
                inputs.append(p)
            elif (p.ndim == 2 and name.endswith("weight")) or id(p) in convolutions:
                matrices.append(p)
            elif p.ndim == 2 and name.endswith("proj"):  # Qwen-VL and CLIP apply it without a module
                projections.append(p)
            else:
                (inputs if p.ndim > 1 else vectors).append(p)
    groups: list[dict[str, Any]] = [
        {"params": matrices, "matrix": True},
        {"params": projections, "matrix": True, "transposed": True},
        {"params": inputs},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
