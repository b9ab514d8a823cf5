"""Two processes have the losses of one: negatives of contrast and matching are the captions and images of both."""

import os
import socket

import torch
import torch.distributed as dist
from tiny_alignment import aligned, batch_of

KEYS = ("patches", "labels", "image", "draws")
WORDS = 14  # of the batch


def gradients(model, loss):
    trained = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)]


def part(rank, port, path):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    model, batch = aligned(), batch_of()
    own = {name: batch[name][2 * rank : 2 * rank + 2] for name in KEYS}
    own["labels"] = own["labels"][:, : (4, 5)[rank]]  # the longest caption of each process
    losses = model(own | {"tokens": torch.tensor(WORDS / 2)})
    found = {name: (loss.detach(), gradients(model, loss)) for name, loss in losses.items()}
    torch.save(found, f"{path}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_learn_from_each_others_pairs(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(2):
        if not (child := os.fork()):
            try:
                part(rank, port, tmp_path)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    model, batch = aligned(), batch_of()
    for name, loss in model(batch | {"tokens": torch.tensor(WORDS)}).items():
        losses, found = zip(*(one[name] for one in parts), strict=True)
        torch.testing.assert_close(sum(losses) / 2, loss, rtol=1e-9, atol=1e-9)
        # Distributed training averages gradients.
        for a, b, whole in zip(*found, gradients(model, loss), strict=True):
            torch.testing.assert_close((a + b) / 2, whole, rtol=1e-8, atol=1e-10)
