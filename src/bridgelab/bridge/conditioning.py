"""Whether a query bridge sees the question."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

# none: the bridge does not see the question. question: it does. mismatched: it gets another example's question, in training
# and in evaluation, so it has the parameters of `question` without its information. The data chooses the question: to the
# bridge the last two are the same.
CONDITIONING = ("none", "question", "mismatched")


def check_conditioning(conditioning: str) -> None:
    """Check that a value is one of `CONDITIONING`.

    Raises:
        ValueError: if it is not.
    """
    if conditioning not in CONDITIONING:
        raise ValueError(
            f"conditioning={conditioning!r} is unknown. Set bridge.conditioning to one of {', '.join(CONDITIONING)}."
        )


def require_question(
    text: Float[Tensor, "batch word text_dim"] | None,
    text_mask: Shaped[Tensor, "batch word"] | None,
    conditioning: str,
) -> tuple[Float[Tensor, "batch word text_dim"], Bool[Tensor, "batch word"]]:
    """Return the question's words, and a mask that is true where they are not padding.

    Raises:
        ValueError: if there is no question.
    """
    if text is None:
        raise ValueError(
            f"conditioning={conditioning!r} needs a question, and there is none. "
            "Give the bridge the argument text, or set bridge.conditioning=none."
        )
    if text_mask is None:
        return text, torch.ones(text.shape[:2], dtype=torch.bool, device=text.device)
    return text, text_mask.bool()
