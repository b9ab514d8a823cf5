"""Deep supervision of a reader's encoder (Lee et al. 2015, arXiv:1409.5185) by heads that are discarded after training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.pretraining.t5.batches import UNTAGGED
from bridgelab.pretraining.t5.traces import ROLES
from bridgelab.world.words import SLOTS

TARGETS = (*ROLES, "tags", "bound")  # what is counted, in the order of the counts


class TraceHeads(nn.Module):
    """Linear maps from the encoder's states to what `traces` holds.

    Args:
        dim: the encoder's channels.
        tagged: the block (from 1) whose states at the prompt's words predict the words' roles.
        bound: the block whose states at the prefix's positions predict all words of the object there, whichever of them
            stand at the position itself.
        traced: the blocks whose states at the prefix's positions predict the roles of the object there.
    """

    def __init__(self, dim: int, tagged: int, bound: int, traced: Sequence[int]):
        super().__init__()
        self.tagged, self.bound, self.traced = tagged, bound, list(traced)
        self.phrases = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, sum(map(len, SLOTS))))
        self.words = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, 1 + len(ROLES)))
        self.objects = nn.ModuleList(
            nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, len(ROLES))) for _ in self.traced
        )

    def forward(self, hidden: tuple[Tensor, ...], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the sum of three losses, each a mean over its targets, and the counts for their accuracies.

        Args:
            hidden: the encoder's input and the output of each block, [batch, position, dim], the prefix first.
            batch: as `batches.collate` returns it.
        Returns:
            The loss; and correct predictions and targets, [2, len(TARGETS)]: the roles of objects by the last traced
            block, the words of the question, the words of the objects.
        """
        prefix = batch["traces"].shape[1]
        tag_loss, tag_counts = self._tag_words(hidden[self.tagged][:, prefix:], batch["tags"])
        phrase_loss, phrase_counts = self._bind_words(hidden[self.bound][:, :prefix], batch["phrases"])
        states = [hidden[block][:, :prefix] for block in self.traced]
        trace_loss, trace_counts = self._trace_objects(states, batch["traces"])
        counts = torch.cat([trace_counts, tag_counts[:, None], phrase_counts[:, None]], 1)
        return tag_loss + phrase_loss + trace_loss, counts.detach()

    def _tag_words(self, states: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the role of each of the question's words."""
        logits, tagged = self.words(states).float(), tags != UNTAGGED
        target = tags + 1  # class 0 is no role
        loss = F.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=UNTAGGED + 1, reduction="sum"
        )
        correct = (logits.argmax(-1) == target) & tagged
        return loss / tagged.sum().clamp(min=1), torch.stack([correct.sum(), tagged.sum()])

    def _bind_words(self, states: Tensor, phrases: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each word of the object at a position."""
        filled = phrases[..., 0] >= 0
        logits = self.phrases(states).float().split([len(slot) for slot in SLOTS], -1)
        loss = states.new_zeros((), dtype=torch.float32)
        for slot, slot_logits in enumerate(logits):
            loss = loss + F.cross_entropy(slot_logits[filled], phrases[..., slot][filled]) / len(SLOTS)
        correct = torch.stack([(x.argmax(-1) == phrases[..., k]) & filled for k, x in enumerate(logits)])
        return loss, torch.stack([correct.sum(), len(SLOTS) * filled.sum()])

    def _trace_objects(self, states: list[Tensor], traces: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy of the roles of the object at a position, averaged over the traced blocks."""
        known = traces >= 0
        target = traces.clamp(min=0).float()
        total = states[0].new_zeros((), dtype=torch.float32)
        for head, block_states in zip(self.objects, states, strict=True):
            logits = head(block_states).float()
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            total = total + (loss * known).sum() / known.sum().clamp(min=1) / len(self.traced)
        correct = ((logits > 0) == (traces > 0)) & known
        return total, torch.stack([correct.sum((0, 1)), known.sum((0, 1))])
