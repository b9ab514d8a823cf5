"""Whether a query bridge sees the question, and how it is told."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

# `mismatched` is given another example's question, in training and evaluation alike: the parameters of `question`
# without its information. Which question a bridge is given is the data's business; to the bridge they are the same.
CONDITIONING = ("none", "question", "mismatched")


def check_conditioning(conditioning: str) -> None:
    """Refuse what is none of `CONDITIONING`.

    Raises:
        ValueError: with the choices.
    """
    if conditioning not in CONDITIONING:
        raise ValueError(
            f"conditioning={conditioning!r} is unknown. Set bridge.conditioning to one of {', '.join(CONDITIONING)}."
        )


def question(
    text: Float[Tensor, "batch word text_dim"] | None,
    text_mask: Shaped[Tensor, "batch word"] | None,
    conditioning: str,
) -> tuple[Float[Tensor, "batch word text_dim"], Bool[Tensor, "batch word"]]:
    """The question's words and which of them are real, for a bridge that reads them.

    Raises:
        ValueError: if there is no question.
    """
    if text is None:
        raise ValueError(
            f"conditioning={conditioning!r} needs a question, and there is none. "
            "Give the bridge `text`, or set bridge.conditioning=none."
        )
    if text_mask is None:
        return text, torch.ones(text.shape[:2], dtype=torch.bool, device=text.device)
    return text, text_mask.bool()
