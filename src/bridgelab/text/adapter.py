r"""What may be trained of the language side beside a bridge: a soft prompt, or low-rank updates of the T5's matrices.

The T5's own weights stay frozen. Both are the same beside every bridge: their shape follows from the T5, and their initial
values from the seed.
"""

import copy
import importlib.util
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

LORA = ".lora_"  # in the names of LoRA's parameters alone, as peft gives them


class Adapter(NamedTuple):
    """What is trained of the language side; both are None for a frozen one.

    Args:
        prompt: vectors [token, dim] at the front of the encoder's input.
        language: a T5 with LoRA, to be used in place of the frozen one, whose weights it shares.
    """

    prompt: nn.Parameter | None = None
    language: Any = None


FROZEN = Adapter()


def build_adapter(options: Mapping[str, Any], model: Any) -> Adapter:
    """Return the adapter that a run's `text` config names, with initial values from torch's global generator.

    Args:
        options: `adapt` is none, prompt or lora; `prompt_tokens` and `lora` say how.
        model: the frozen T5ForConditionalGeneration.
    Raises:
        ValueError: if peft is not installed, or this T5 has no such matrix.
    """
    kind = options.get("adapt", "none")
    if kind == "prompt":
        return Adapter(prompt=soft_prompt(options["prompt_tokens"], model.config.d_model))
    if kind == "lora":
        return Adapter(language=with_lora(model, **options["lora"]))
    return FROZEN


def soft_prompt(tokens: int, dim: int) -> nn.Parameter:
    r"""Return a soft prompt [token, dim], drawn from $\mathcal{N}(0, 0.02^2)$ like that of the blind floor.

    Source: Lester et al. 2021, arXiv:2104.08691. Differs: tokens do not start as words of the vocabulary. A T5 that is used to
    read scenes took such words for a part of the scene.
    """
    return nn.Parameter(0.02 * torch.randn(tokens, dim))


def with_lora(model: Any, rank: int, alpha: float | None, targets: list[str]) -> Any:
    r"""Return a T5 whose matrices $W$ are replaced by $W + s B A$, with $B = 0$ at first.

    Source: Hu et al. 2022, arXiv:2106.09685, as peft has it. The frozen weights are the given model's own tensors, not copies,
    and the given model computes as before. Beside a T5 in bfloat16, $A$ and $B$ are in float32.

    The scale is $s = \alpha / r$. Without $\alpha$ it is $\sqrt{3 r / d}$, so that one learning rate $\eta$ suits bridge and
    adapter. Entries of $A$ are uniform within $\pm 1 / \sqrt d$, so its RMS-to-RMS operator norm is about $\sqrt{d / 3r}$. A step of
    Muon changes $B$ by a matrix of norm $\eta$, and so $W$ by about $\eta$, like each matrix of the bridge.

    Args:
        model: a T5ForConditionalGeneration of width $d$.
        rank: $r$.
        alpha: $\alpha$; None for the scale above.
        targets: names of matrices in the layers of encoder and decoder: q, k, v and o of attention, wi (or wi_0 and wi_1 with a
            gated activation) and wo of the feed-forward layers.
    Raises:
        ValueError: if peft is not installed, or the T5 has no such matrix.
    """
    check_lora_targets(model, targets)
    if importlib.util.find_spec("peft") is None:
        raise ValueError(
            "text.adapt=lora needs the package peft, which is not installed. Run: pip install peft"
        )
    from peft import LoraConfig, inject_adapter_in_model

    adapted = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    scale = alpha / rank if alpha else math.sqrt(3 * rank / model.config.d_model)
    options: dict[str, Any] = {"r": rank, "lora_alpha": scale * rank, "lora_dropout": 0.0}
    inject_adapter_in_model(LoraConfig(target_modules=list(targets), **options), adapted)
    for name, parameter in adapted.named_parameters():
        if LORA in name and parameter.dtype == torch.bfloat16:  # in which small steps would be lost
            parameter.data = parameter.data.float()
    return adapted.eval()


def check_lora_targets(model: Any, targets: list[str]) -> None:
    """Check that a T5's layers have matrices of these names.

    Raises:
        ValueError: if one does not exist.
    """
    known = dict.fromkeys(
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".block." in name
    )
    if unknown := [target for target in targets if target not in known]:
        raise ValueError(
            f"text.lora.targets has {', '.join(unknown)}, and the matrices of this T5's layers are {', '.join(known)}. "
            "Set text.lora.targets to some of them."
        )
