import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridgelab.pretraining.t5.batches import UNTAGGED
from bridgelab.pretraining.t5.trace_heads import TraceHeads
from bridgelab.pretraining.t5.traces import ROLES
from bridgelab.world.layout import WORDS
from bridgelab.world.words import SLOTS


def test_the_loss_is_the_cross_entropy_over_known_targets():
    torch.manual_seed(0)
    heads = TraceHeads(8, tagged=1, bound=2, traced=[2, 3])
    hidden = tuple(torch.randn(2, 5, 8) for _ in range(4))
    traces = torch.randint(-1, 2, (2, 3, len(ROLES)))
    tags = torch.tensor([[-1, 4], [UNTAGGED, 0]])
    phrases = torch.stack([torch.randint(0, len(slot), (2, 3)) for slot in SLOTS], -1)
    phrases[0, 1] = -1  # filler
    loss, counts = heads(hidden, {"traces": traces, "tags": tags, "phrases": phrases})
    of_objects: list[list[float]] = [[], []]
    right = 0
    for k, (head, states) in enumerate(zip(heads.objects, hidden[2:], strict=True)):
        for b, p in np.ndindex(2, 3):
            for logit, target in zip(head(states[b, p]), traces[b, p].tolist(), strict=True):
                if target >= 0:
                    of_objects[k].append(-F.logsigmoid(logit if target else -logit).item())
                    right += k == 1 and bool(logit > 0) == bool(target)
    of_words = [
        -heads.words(hidden[1][b, 3 + t]).log_softmax(-1)[tags[b, t] + 1].item()
        for b, t in ((0, 0), (0, 1), (1, 1))
    ]
    of_phrases, of_phrases_right = [], 0
    for b, p in np.ndindex(2, 3):
        logits, first = heads.phrases(hidden[2][b, p]), 0
        for slot, index in zip(SLOTS, phrases[b, p].tolist(), strict=True):
            if index >= 0:
                of_phrases.append(-logits[first : first + len(slot)].log_softmax(-1)[index].item())
                of_phrases_right += int(logits[first : first + len(slot)].argmax()) == index
            first += len(slot)
    assert len(of_phrases) == 5 * WORDS
    expected = np.mean([np.mean(terms) for terms in of_objects]) + np.mean(of_words) + np.mean(of_phrases)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert counts[0, :-2].sum() == right
    assert counts[1, :-2].sum() == (traces >= 0).sum()
    assert counts[1, -2:].tolist() == [3, 5 * WORDS]
    assert counts[0, -1] == of_phrases_right
