import torch

from bridgelab.bridge.linear import Linear


def test_is_the_closed_form():
    bridge = Linear(6, 5).double()
    patches = torch.randn(2, 3, 6, dtype=torch.float64)
    weight, bias = bridge.mm_projector.weight.tolist(), bridge.mm_projector.bias.tolist()

    def project(patch):
        return [
            sum(w * x for w, x in zip(row, patch, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]

    expected = [[project(patch) for patch in image] for image in patches.tolist()]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(bridge(patches), expected, rtol=1e-12, atol=1e-12)


def test_keys_are_llavas():
    assert set(Linear(6, 5).state_dict()) == {"mm_projector.weight", "mm_projector.bias"}
