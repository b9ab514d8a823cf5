"""Check whether a class keeps the contract of `bridgelab.bridge`. The package's tests hold every bridge to it."""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SIZES = ((160, 128, 64), (48, 80, 36))  # vision_dim, text_dim, patches: the miniature's, and others
WORDS = 7  # of the question
BATCH = 4
TOLERANCE = 1e-5  # relative and absolute
MIN_DISTANCE = 0.1  # of two queries' tokens, relative to a token's norm


class Violation(Exception):
    """A demand that does not hold."""


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise Violation(problem)


@dataclass(frozen=True)
class Result:
    """One demand of the contract, and the problem if it does not hold."""

    demand: str
    problem: str | None


class Case:
    """A bridge with one pair of widths, and patches and a question for it, all drawn from one seed.

    Args:
        bridge_class: the class to check.
        choices: its keyword arguments, without `grid`.
        sizes: vision_dim, text_dim and number of patches.
    """

    def __init__(self, bridge_class: type[nn.Module], choices: dict[str, Any], sizes: tuple[int, int, int]):
        self.bridge_class, self.choices = bridge_class, choices
        self.vision_dim, self.text_dim, num_patches = sizes
        if getattr(bridge_class, "sees", "image") == "words":
            self.vision_dim = self.text_dim  # its patches are word embeddings
        self.grid = (math.isqrt(num_patches),) * 2
        self.is_training = not getattr(bridge_class, "draws_tokens", False)
        self.takes_grid = "grid" in inspect.signature(bridge_class).parameters
        torch.manual_seed(0)
        self.bridge: Any = self.build()
        with_cls = getattr(bridge_class, "needs_cls", False)
        self.patches = torch.randn(BATCH, num_patches + with_cls, self.vision_dim)
        self.text = torch.randn(BATCH, WORDS, self.text_dim)
        self.sees = getattr(self.bridge, "sees", "image")
        self.conditioned = getattr(self.bridge, "conditioning", "none") != "none"
        self.has_queries = hasattr(self.bridge, "num_queries")
        if self.is_training and self._is_random():
            self.is_training = False
            self.bridge.eval()

    def _is_random(self) -> bool:
        """Return whether two passes over the same patches differ, as by dropout. A bridge without tokens breaks a demand, and is not."""
        try:
            with torch.no_grad():
                first, second = self.tokens(), self.tokens()
            return not torch.allclose(first, second, TOLERANCE, TOLERANCE, equal_nan=True)
        except Exception:  # a user's class may raise anything
            return False

    def build(self) -> nn.Module:
        """Build another bridge from torch's global random state; in training mode, unless it draws tokens or drops units there."""
        grid = {"grid": self.grid} if self.takes_grid else {}
        bridge = self.bridge_class(self.vision_dim, self.text_dim, **grid, **self.choices)
        return bridge.train(self.is_training)

    def tokens(self, patches: Tensor | None = None, bridge: Any = None) -> Tensor:
        """Return the tokens of this bridge or another one. A conditioned bridge always gets the same question."""
        bridge, patches = bridge or self.bridge, self.patches if patches is None else patches
        if not self.conditioned:
            return bridge(patches)
        return bridge(patches, self.text[:1].to(patches.dtype).expand(len(patches), -1, -1))

    def parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters."""
        return [p for p in self.bridge.parameters() if p.requires_grad]


def _check_shape(case: Case) -> None:
    tokens = case.tokens()
    expected = (BATCH, case.text_dim)
    _require(
        tokens.ndim == 3 and (tokens.shape[0], tokens.shape[2]) == expected,
        f"gave {tuple(tokens.shape)} for {BATCH} images and text_dim={case.text_dim}",
    )
    _require(
        case.tokens(case.patches[:1]).shape[1] == tokens.shape[1], "the number of tokens depends on the batch"
    )
    if case.has_queries:
        count, num_queries = tokens.shape[1], case.bridge.num_queries
        _require(count == num_queries, f"num_queries={num_queries}, but it gave {count} tokens")


def _check_number_of_patches(case: Case) -> None:
    if case.takes_grid:
        try:
            case.tokens(case.patches[:, :1])
        except ValueError:
            return
        raise Violation("one patch does not fill the grid, and it raised no ValueError")
    _require(
        case.tokens(case.patches[:1, :1]).isfinite().all(), "one patch of one image is not enough for it"
    )


def _check_gradients(case: Case) -> None:
    tokens = case.tokens()
    if not case.parameters():
        _require(not tokens.requires_grad, "it has no parameters, but its tokens require a gradient")
        return
    (tokens * torch.randn_like(tokens)).sum().backward()
    unreached = [
        name
        for name, p in case.bridge.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # A key's bias adds the same to every score of a query, which softmax removes again.
    unreached = [name for name in unreached if not name.endswith(("key.bias", "k_proj.bias"))]
    _require(not unreached, f"no gradient reaches {', '.join(unreached)}")
    _require(
        all(p.grad is None or p.grad.isfinite().all() for p in case.parameters()), "a gradient is not finite"
    )


def _check_first_gradient(case: Case) -> None:
    if case.parameters():
        case.tokens().square().mean().backward()
        grads = [p.grad.norm() for p in case.parameters() if p.grad is not None]
        norm = torch.stack(grads).norm().item()
        _require(1e-5 < norm < 100, f"the first gradient's norm is {norm:.3g}, not between 1e-5 and 100")


def _check_bfloat16(case: Case) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        by_autocast = case.tokens()
    case.bridge.bfloat16()
    for tokens, how in ((by_autocast, "autocast"), (case.tokens(case.patches.bfloat16()), "weights")):
        _require(tokens.isfinite().all(), f"tokens are not finite by {how}")
    if case.parameters():
        tokens.float().square().mean().backward()
        grads = [p.grad for p in case.parameters() if p.grad is not None]
        _require(all(g.isfinite().all() for g in grads), "a gradient is not finite")


def _check_batch_size(case: Case) -> None:
    if not case.is_training:  # where a batch norm reads the batch
        norms = [name for name, part in case.bridge.named_modules() if isinstance(part, _BatchNorm)]
        _require(not norms, f"{', '.join(norms)} is a batch norm, which reads the batch in training")
    tokens = case.tokens()
    for size in (1, 3):
        split = torch.cat([case.tokens(patches) for patches in case.patches.split(size)])
        _require(
            torch.allclose(split, tokens, TOLERANCE, TOLERANCE),
            f"{BATCH} images {size} at a time give other tokens",
        )


def _check_order(case: Case) -> None:
    order = torch.randperm(case.patches.shape[1], generator=torch.Generator().manual_seed(1))
    before, after = case.tokens(), case.tokens(case.patches[:, order])
    if case.takes_grid:
        _require(
            not torch.allclose(after, before, rtol=1e-3, atol=1e-3),
            "it takes a grid, but places do not matter",
        )
        return
    prompt = before.shape[1] - len(order)  # learned tokens before those of the patches
    if not case.has_queries and case.sees != "nothing" and prompt >= 0:
        # One token per patch, in the patches' order.
        before = torch.cat([before[:, :prompt], before[:, prompt:][:, order]], dim=1)
    _require(
        torch.allclose(after, before, TOLERANCE, TOLERANCE),
        "another order of the patches gives other tokens: take the keyword grid if places matter",
    )


def _check_sees(case: Case) -> None:
    changed = not torch.equal(case.tokens(), case.tokens(case.patches + torch.randn_like(case.patches)))
    outcome = "other tokens" if changed else "the same tokens"
    _require(changed == (case.sees != "nothing"), f"sees={case.sees!r}, but other patches give {outcome}")


def _check_text(case: Case) -> None:
    if case.conditioned:
        _check_question_is_read(case)
    else:
        _check_question_is_ignored(case)


def _check_question_is_ignored(case: Case) -> None:
    mask = torch.ones(BATCH, WORDS, dtype=torch.bool)
    text = torch.full_like(case.text, torch.nan)
    tokens = case.bridge(case.patches)
    _require(
        torch.equal(case.bridge(case.patches, text, mask), tokens), "conditioning is none, but text is read"
    )
    _require(
        torch.equal(case.bridge(case.patches, text=text, text_mask=mask.long()), tokens),
        "conditioning is none, but text is read by keyword",
    )


def _check_question_is_read(case: Case) -> None:
    mask = torch.ones(BATCH, WORDS, dtype=torch.bool)
    mask[:, 4:] = False
    tokens = case.bridge(case.patches, case.text, mask)
    _require(
        not torch.allclose(tokens, case.bridge(case.patches, case.text.flip(0), mask), atol=1e-3),
        "it is conditioned, but another question gives the same tokens",
    )
    padded = torch.where(mask[..., None], case.text, 100.0)
    _require(
        torch.allclose(case.bridge(case.patches, padded, mask.long()), tokens, TOLERANCE, TOLERANCE),
        "padding of the question is read",
    )
    try:
        case.bridge(case.patches)
    except ValueError:
        return
    raise Violation("it is conditioned, and without a question it raised no ValueError")


def _check_seed(case: Case) -> None:
    torch.manual_seed(3)
    first, second = case.build().state_dict(), case.build().state_dict()
    torch.manual_seed(3)
    again = case.build().state_dict()
    drawn = [name for name in first if first[name].numel() > 1 and first[name].float().std() > 0]
    _require(drawn or not first, "nothing is drawn: every weight starts as a constant")
    fixed = tuple(getattr(case.bridge_class, "fixed_at_init", ()))
    equal = [name for name in drawn if torch.equal(first[name], second[name]) and not name.endswith(fixed)]
    _require(not equal, f"{', '.join(equal)} are the same for two seeds: leave the seed to the caller")
    different = [name for name in first if not torch.equal(first[name], again[name])]
    _require(not different, f"{', '.join(different)} differ for one seed: draw from torch's global state")


def _check_state_dict(case: Case) -> None:
    other = case.build()
    other.load_state_dict(case.bridge.state_dict())
    _require(
        torch.equal(case.tokens(bridge=other), case.tokens()),
        "a copy through its state_dict gives other tokens",
    )


def distances(tokens: Tensor) -> Tensor:
    """Return the distance of each pair of tokens over their RMS norm, averaged over images; [M * (M - 1) / 2]."""
    tokens = tokens.detach()
    pairs = torch.triu_indices(tokens.shape[1], tokens.shape[1], offset=1)
    each = (tokens[:, pairs[0]] - tokens[:, pairs[1]]).norm(dim=-1)
    return (each / tokens.norm(dim=-1).square().mean().sqrt()).mean(0)


def _check_queries(case: Case) -> None:
    if not case.has_queries or case.bridge.num_queries < 2:
        return
    reason = "symmetric queries give the T5 one token many times, for ever"
    _require(
        distances(case.tokens()).min() > MIN_DISTANCE,
        f"two queries' tokens are alike at the start: {reason}",
    )
    optimizer = torch.optim.AdamW(case.parameters(), lr=1e-3)
    target = torch.randn(BATCH, case.bridge.num_queries, case.text_dim)
    losses = []
    for _ in range(8):
        loss = (case.tokens() - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _require(losses[-1] < losses[0], "eight steps of AdamW did not lower the loss")
    _require(
        distances(case.tokens()).min() > MIN_DISTANCE, f"two queries' tokens have become alike: {reason}"
    )


DEMANDS: dict[str, Callable[[Case], None]] = {
    "gives tokens [batch, M, text_dim] for any widths": _check_shape,
    "says what grid it needs, or takes any number of patches": _check_number_of_patches,
    "a gradient reaches every parameter": _check_gradients,
    "the first gradient is neither nothing nor huge": _check_first_gradient,
    "is finite in bfloat16": _check_bfloat16,
    "does not depend on the rest of the batch": _check_batch_size,
    "does not depend on the patches' order, or takes a grid": _check_order,
    "sees what it says": _check_sees,
    "reads the question if it is conditioned, and else not": _check_text,
    "leaves the seed to the caller": _check_seed,
    "its state_dict holds all that it is": _check_state_dict,
    "its queries differ and stay different": _check_queries,
}


def check(bridge_class: type[nn.Module], choices: dict[str, Any]) -> Iterator[Result]:
    """Check a bridge against every demand, each on bridges of its own, and yield the results.

    Args:
        bridge_class: the class to check.
        choices: its keyword arguments, without `grid`.
    """
    for demand, check_demand in DEMANDS.items():
        problem = None
        for sizes in SIZES:
            try:
                check_demand(Case(bridge_class, choices, sizes))
            except Exception as error:  # a user's class may raise anything
                message = str(error) if isinstance(error, Violation) else f"{type(error).__name__}: {error}"
                problem = f"{message} (vision_dim={sizes[0]}, text_dim={sizes[1]}, {sizes[2]} patches)"
                break
        yield Result(demand, problem)
