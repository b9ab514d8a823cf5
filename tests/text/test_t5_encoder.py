import pytest
import torch

from bridgelab.text import t5_encoder
from bridgelab.text.t5_encoder import CHUNK, FrozenT5Encoder


def both(text, mask, gain=1.0, dtype=torch.float32, batch=CHUNK + 3):
    """Return output and input gradient of transformers' encoder and of ours."""
    torch.manual_seed(1)
    mask = mask.repeat(batch, 1)
    inputs = gain * torch.randn(batch, mask.shape[1], text.dim)
    weight = torch.randn(batch, mask.shape[1], text.dim) * mask[..., None]
    results = []
    for encoder in (
        lambda x: text.model.encoder(inputs_embeds=x, attention_mask=mask).last_hidden_state,
        lambda x: FrozenT5Encoder(text.model, dtype)(x, mask),
    ):
        x = inputs.clone().requires_grad_(True)
        hidden = encoder(x)
        (hidden * weight).sum().backward()
        results += [hidden.detach()[mask], x.grad[mask]]
    return results


@pytest.mark.parametrize("act", ["gated-gelu", "relu", "gelu", "gated-relu"])
def test_output_and_gradient_are_transformers(tiny_text_class, act):
    mask = torch.ones(1, 21, dtype=torch.bool)
    mask[0, 17:] = False
    out, gradient, own_out, own_gradient = both(tiny_text_class(act=act), mask)
    torch.testing.assert_close(own_out, out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, atol=1e-5, rtol=1e-4)


def test_padding_in_the_middle_is_not_read_either(tiny_text):
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, 4:7] = False
    out, gradient, own_out, own_gradient = both(tiny_text, mask)
    torch.testing.assert_close(own_out, out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, atol=1e-5, rtol=1e-4)


def test_scores_beyond_exps_range(tiny_text):
    """exp overflows float32 at 89: the softmax takes each row's maximum off first."""
    for block in tiny_text.model.encoder.block:
        attention = block.layer[0].SelfAttention
        attention.q.weight *= 8
        attention.k.weight *= 8
    mask = torch.ones(1, 16, dtype=torch.bool)
    mask[0, 13:] = False
    out, gradient, own_out, own_gradient = both(tiny_text, mask)
    torch.testing.assert_close(own_out, out, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(own_gradient, gradient, atol=2e-3, rtol=2e-2)


def test_bf16_errs_no_more_than_autocast(tiny_text):
    mask = torch.ones(1, 24, dtype=torch.bool)
    out, gradient, own_out, own_gradient = both(tiny_text, mask, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        cast, cast_gradient, _, _ = both(tiny_text, mask)

    def error(a, b):
        return ((a.float() - b).norm() / b.norm()).item()

    assert error(own_out, out) < 1.5 * error(cast, out) + 1e-3
    assert error(own_gradient, gradient) < 1.5 * error(cast_gradient, gradient) + 1e-3


def test_it_takes_only_what_it_knows(tiny_text):
    assert FrozenT5Encoder.supports(tiny_text.model)
    tiny_text.model.shared.requires_grad_(True)
    assert not FrozenT5Encoder.supports(tiny_text.model)
    tiny_text.model.requires_grad_(False).train()
    assert not FrozenT5Encoder.supports(tiny_text.model)


def test_gelu_is_the_tanh_form():
    x = torch.linspace(-6, 6, 200, dtype=torch.float64, requires_grad=True)
    own = t5_encoder._Gelu.apply(x)
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    torch.testing.assert_close(own, expected)
    torch.testing.assert_close(
        torch.autograd.grad(own.sum(), x)[0], torch.autograd.grad(expected.sum(), x)[0], atol=1e-9, rtol=1e-7
    )
