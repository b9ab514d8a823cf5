"""What a bridge costs, measured on a batch: parameters, visual tokens, FLOPs of the bridge and of the T5."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bridgelab.data.batches import Batch, TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.model import BridgedModel

EXAMPLES = (
    16  # of a batch on which FLOPs are counted: the same for every bridge, so that all are padded alike
)


def measure_test_costs(model: BridgedModel, tests: Mapping[str, TokenizedExamples]) -> dict[str, Any]:
    """Return `measure_costs` on the first test examples."""
    tokenized = next(iter(tests.values()))
    return measure_costs(model, tokenized.batch(list(range(min(len(tokenized), EXAMPLES)))))


def measure_costs(model: BridgedModel, batch: Batch) -> dict[str, Any]:
    """Return the costs of one example; a multiplication and an addition count as two operations.

    The T5's backward pass goes *through* its frozen weights to the visual tokens, and to an adapter. Tokens without a gradient
    (plain words) cost none. Both passes of the T5 include gated cross-attention between its layers, if there is any.
    The forward pass of a bridge that reads the question includes the T5's pass over the question.
    """
    batch = on_device(batch, model)
    trained = [p for p in model.parameters() if p.requires_grad]
    between = [] if model.cross_attention is None else list(model.cross_attention.parameters())
    adapter = model.adapter_parameters
    adapter_ids = set(map(id, adapter))
    bridge = [p for p in trained if id(p) not in adapter_ids]
    flops: dict[str, int] = {}
    size = len(batch["labels"])

    def count(name: str, call: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = call()
        flops[name] = counter.get_total_flops() // size
        return result

    with torch.enable_grad():
        prefix = count("flops_bridge_forward", lambda: model.prefix(batch))
        leaf = prefix.detach().requires_grad_(bool(bridge))
        labels = batch["labels"]
        loss = count(
            "flops_text_forward",
            lambda: -model.log_probs(model.encode_prefix(leaf, batch), labels).sum() / size,
        )
        if sources := [*([leaf] if bridge else []), *between, *adapter]:
            count("flops_text_backward", lambda: torch.autograd.grad(loss, sources))
        if bridge:
            gradient = torch.ones_like(prefix)
            count(
                "flops_bridge_backward",
                lambda: torch.autograd.grad(prefix, bridge, gradient, allow_unused=True),
            )
    return {
        "trainable_parameters": sum(p.numel() for p in trained),
        "adapter_parameters": sum(p.numel() for p in adapter),
        "visual_tokens": prefix.shape[1],
        "prompt_tokens": batch["prompt"].shape[1],
        "flops_bridge_forward": flops["flops_bridge_forward"],
        "flops_bridge_backward": flops.get("flops_bridge_backward", 0),
        "flops_text_forward": flops["flops_text_forward"],
        "flops_text_backward": flops.get("flops_text_backward", 0),
    }
