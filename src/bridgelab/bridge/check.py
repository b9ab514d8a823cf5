"""Whether a class keeps the contract of `bridgelab.bridge`: what the package's own tests ask of every bridge."""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SIZES = ((192, 128, 64), (48, 80, 36))  # vision_dim, text_dim, patches: the miniature's, and others
WORDS = 7  # of the question
BATCH = 4
ALIKE = 1e-5  # relative and absolute
APART = 0.1  # least distance of two queries' tokens over a token's length


class Broken(Exception):
    """A demand that does not hold."""


def _hold(condition: object, otherwise: str) -> None:
    if not condition:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Result:
    """One demand of the contract, and what breaks it (None: it holds)."""

    demand: str
    problem: str | None


class Case:
    """A bridge of one pair of widths, with patches and a question for it; all drawn from one seed."""

    def __init__(self, kind: type[nn.Module], choices: dict[str, Any], sizes: tuple[int, int, int]):
        self.kind, self.choices = kind, choices
        self.vision_dim, self.text_dim, number = sizes
        if getattr(kind, "sees", "image") == "words":
            self.vision_dim = self.text_dim  # its patches are word embeddings
        self.grid = (math.isqrt(number),) * 2
        self.keeps_places = "grid" in inspect.signature(kind).parameters
        torch.manual_seed(0)
        self.bridge: Any = self.build()
        self.patches = torch.randn(BATCH, number, self.vision_dim)
        self.text = torch.randn(BATCH, WORDS, self.text_dim)
        self.sees = getattr(self.bridge, "sees", "image")
        self.conditioned = getattr(self.bridge, "conditioning", "none") != "none"
        self.queries = hasattr(self.bridge, "num_queries")

    def build(self) -> nn.Module:
        """Another one, on the global random state."""
        grid = {"grid": self.grid} if self.keeps_places else {}
        return self.kind(self.vision_dim, self.text_dim, **grid, **self.choices)

    def tokens(self, patches: Tensor | None = None, bridge: Any = None) -> Tensor:
        """What the bridge, or another one, hands over; a conditioned one is asked the same question each time."""
        bridge, patches = bridge or self.bridge, self.patches if patches is None else patches
        if not self.conditioned:
            return bridge(patches)
        return bridge(patches, self.text[:1].to(patches.dtype).expand(len(patches), -1, -1))

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [p for p in self.bridge.parameters() if p.requires_grad]


def _shape(case: Case) -> None:
    tokens = case.tokens()
    expected = (BATCH, case.text_dim)
    _hold(
        tokens.ndim == 3 and (tokens.shape[0], tokens.shape[2]) == expected,
        f"gave {tuple(tokens.shape)} for {BATCH} images and text_dim={case.text_dim}",
    )
    _hold(
        case.tokens(case.patches[:1]).shape[1] == tokens.shape[1], "the number of tokens depends on the batch"
    )
    if case.queries:
        count, wanted = tokens.shape[1], case.bridge.num_queries
        _hold(count == wanted, f"num_queries={wanted}, but it gave {count} tokens")


def _gradients(case: Case) -> None:
    tokens = case.tokens()
    if not case.parameters():
        _hold(not tokens.requires_grad, "it has no parameters, but its tokens want a gradient")
        return
    (tokens * torch.randn_like(tokens)).sum().backward()
    unreached = [
        n
        for n, p in case.bridge.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # A key's bias adds the same to every score of a query, and softmax takes it away again.
    unreached = [name for name in unreached if not name.endswith("key.bias")]
    _hold(not unreached, f"no gradient reaches {', '.join(unreached)}")
    _hold(
        all(p.grad is None or p.grad.isfinite().all() for p in case.parameters()), "a gradient is not finite"
    )


def _first_gradient(case: Case) -> None:
    if case.parameters():
        case.tokens().square().mean().backward()
        grads = [p.grad.norm() for p in case.parameters() if p.grad is not None]
        norm = torch.stack(grads).norm().item()
        _hold(1e-5 < norm < 100, f"the first gradient's norm is {norm:.3g}, not between 1e-5 and 100")


def _bfloat16(case: Case) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        by_autocast = case.tokens()
    case.bridge.bfloat16()
    for tokens, how in ((by_autocast, "autocast"), (case.tokens(case.patches.bfloat16()), "weights")):
        _hold(tokens.isfinite().all(), f"tokens are not finite by {how}")
    if case.parameters():
        tokens.float().square().mean().backward()
        grads = [p.grad for p in case.parameters() if p.grad is not None]
        _hold(all(g.isfinite().all() for g in grads), "a gradient is not finite")


def _batch_size(case: Case) -> None:
    whole = case.tokens()
    for size in (1, 3):
        split = torch.cat([case.tokens(part) for part in case.patches.split(size)])
        _hold(
            torch.allclose(split, whole, ALIKE, ALIKE), f"{BATCH} images {size} at a time give other tokens"
        )


def _order(case: Case) -> None:
    order = torch.randperm(case.patches.shape[1], generator=torch.Generator().manual_seed(1))
    before, after = case.tokens(), case.tokens(case.patches[:, order])
    if case.keeps_places:
        _hold(
            not torch.allclose(after, before, rtol=1e-3, atol=1e-3),
            "it takes a grid, but places do not matter",
        )
    else:
        prompt = before.shape[1] - len(order)  # learned tokens before those of the patches
        if (
            not case.queries and case.sees != "nothing" and prompt >= 0
        ):  # one token a patch, where the patch stands
            before = torch.cat([before[:, :prompt], before[:, prompt:][:, order]], dim=1)
        _hold(
            torch.allclose(after, before, ALIKE, ALIKE),
            "another order of the patches gives other tokens: take the keyword `grid` if places matter",
        )


def _places(case: Case) -> None:
    if case.keeps_places:
        try:
            case.tokens(case.patches[:, :1])
        except ValueError:
            return
        raise Broken("one patch does not fill the grid, and it did not say so (ValueError)")
    _hold(case.tokens(case.patches[:1, :1]).isfinite().all(), "one patch of one image is not enough for it")


def _reads_patches(case: Case) -> None:
    changed = not torch.equal(case.tokens(), case.tokens(case.patches + torch.randn_like(case.patches)))
    told = f"sees={case.sees!r}, but other patches give "
    _hold(changed == (case.sees != "nothing"), told + ("other tokens" if changed else "the same tokens"))


def _text(case: Case) -> None:
    mask = torch.ones(BATCH, WORDS, dtype=torch.bool)
    if not case.conditioned:
        nothing = torch.full_like(case.text, torch.nan)
        same = torch.equal(case.bridge(case.patches, nothing, mask), case.bridge(case.patches))
        _hold(same, "conditioning is none, but `text` is read")
        same = torch.equal(
            case.bridge(case.patches, text=nothing, text_mask=mask.long()), case.bridge(case.patches)
        )
        _hold(same, "conditioning is none, but `text` is read by keyword")
        return
    mask[:, 4:] = False
    tokens = case.bridge(case.patches, case.text, mask)
    other = case.bridge(case.patches, case.text.flip(0), mask)
    _hold(
        not torch.allclose(tokens, other, atol=1e-3),
        "it is conditioned, but another question gives the same tokens",
    )
    padded = torch.where(mask[..., None], case.text, 100.0)
    _hold(
        torch.allclose(case.bridge(case.patches, padded, mask.long()), tokens, ALIKE, ALIKE),
        "padding of the question is read",
    )
    try:
        case.bridge(case.patches)
    except ValueError:
        return
    raise Broken("it is conditioned, and without a question it did not say so (ValueError)")


def _seed(case: Case) -> None:
    torch.manual_seed(3)
    one, two = case.build().state_dict(), case.build().state_dict()
    torch.manual_seed(3)
    again = case.build().state_dict()
    drawn = [name for name in one if one[name].numel() > 1 and one[name].float().std() > 0]
    _hold(drawn or not one, "nothing is drawn: every weight starts as a constant")
    equal = [name for name in drawn if torch.equal(one[name], two[name])]
    _hold(not equal, f"{', '.join(equal)} are the same for two seeds: the seed is the caller's")
    differing = [name for name in one if not torch.equal(one[name], again[name])]
    _hold(not differing, f"{', '.join(differing)} differ for one seed: draw from torch's global state")


def _copy(case: Case) -> None:
    other = case.build()
    other.load_state_dict(case.bridge.state_dict())
    _hold(
        torch.equal(case.tokens(bridge=other), case.tokens()), "its state_dict does not hold all that it is"
    )


def distances(tokens: Tensor) -> Tensor:
    """Distance of each pair of tokens over their RMS norm, averaged over images; [M * (M - 1) / 2]."""
    tokens = tokens.detach()
    pairs = torch.triu_indices(tokens.shape[1], tokens.shape[1], offset=1)
    each = (tokens[:, pairs[0]] - tokens[:, pairs[1]]).norm(dim=-1)
    return (each / tokens.norm(dim=-1).square().mean().sqrt()).mean(0)


def _queries(case: Case) -> None:
    if not case.queries:
        return
    told = "symmetric queries hand the T5 one token many times, for ever"
    _hold(distances(case.tokens()).min() > APART, f"two queries' tokens are alike at the start: {told}")
    optimizer = torch.optim.AdamW(case.parameters(), lr=1e-3)
    target = torch.randn(BATCH, case.bridge.num_queries, case.text_dim)
    losses = []
    for _ in range(8):
        loss = (case.tokens() - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _hold(losses[-1] < losses[0], "eight steps of AdamW did not lower the loss")
    _hold(distances(case.tokens()).min() > APART, f"two queries' tokens have become alike: {told}")


DEMANDS: dict[str, Callable[[Case], None]] = {
    "gives tokens [batch, M, text_dim] for any widths": _shape,
    "says what grid it needs, or takes any number of patches": _places,
    "a gradient reaches every parameter": _gradients,
    "the first gradient is neither nothing nor huge": _first_gradient,
    "is finite in bfloat16": _bfloat16,
    "does not depend on the rest of the batch": _batch_size,
    "does not depend on the patches' order, or takes a grid": _order,
    "sees what it says": _reads_patches,
    "reads the question if it is conditioned, and else not": _text,
    "leaves the seed to the caller": _seed,
    "its state_dict holds all that it is": _copy,
    "its queries differ and stay different": _queries,
}


def check(kind: type[nn.Module], choices: dict[str, Any]) -> Iterator[Result]:
    """Hold a bridge to every demand, each on bridges of its own.

    Args:
        kind: the class.
        choices: its keyword arguments, without `grid`.
    """
    for demand, holds in DEMANDS.items():
        problem = None
        for sizes in SIZES:
            try:
                holds(Case(kind, choices, sizes))
            except Exception as error:  # whatever a stranger's class raises is what is to be told
                said = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
                problem = f"{said} (vision_dim={sizes[0]}, text_dim={sizes[1]}, {sizes[2]} patches)"
                break
        yield Result(demand, problem)
