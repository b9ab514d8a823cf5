import pytest
import torch

from bridgelab.bridge.linear import Linear
from bridgelab.doctor.layer_costs import (
    Layers,
    Positions,
    extrapolated,
    feature_bytes,
    points,
    text_flops,
    weight_bytes,
)
from bridgelab.doctor.meta_models import ShapedText, text_model
from bridgelab.evaluation.costs import measure_costs
from bridgelab.model import BridgedModel

CPU = torch.device("cpu")


@pytest.mark.parametrize("target", [1, 5])
@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
def test_operations_are_those_that_torch_counts(shape, target, insert):
    layers = Layers(3, 2)
    text = ShapedText(shape, layers, {"dtype": "bfloat16"}, CPU)  # so that the encoder is transformers' own
    model = BridgedModel(Linear(5, text.dim), text, insert=insert)
    model.scale.fill_(1.0)
    words = torch.randint(2, 40, (4, 8))
    counted = measure_costs(
        model,
        {
            "patches": torch.randn(4, 3, 5),
            "prompt": words,
            "prompt_mask": torch.ones(4, 8, dtype=torch.bool),
            "labels": words[:, :target],
        },
    )
    read = 11 if insert == "encoder_input" else 8
    forward, backward = text_flops(shape, layers, Positions(read, 11, target), through=read == 11)
    assert forward == counted["flops_text_forward"]
    assert backward == pytest.approx(counted["flops_text_backward"], rel=0.01)


def test_weights_are_counted_once(shape):
    c = shape
    model = text_model(c, torch.bfloat16, "eager", Layers(3, 2))
    attention, dense, norm = 4 * c.d_model * c.num_heads * c.d_kv, 3 * c.d_model * c.d_ff, c.d_model
    bias = c.relative_attention_num_buckets * c.num_heads
    encoder = 3 * (attention + dense + 2 * norm) + bias + norm
    decoder = 2 * (2 * attention + dense + 3 * norm) + bias + norm
    words = 2 * c.vocab_size * c.d_model  # read and written with different matrices
    assert weight_bytes(model) == 2 * (encoder + decoder + words)
    assert weight_bytes(model, 4) == 2 * weight_bytes(model)
    c.own_head = False
    tied = text_model(c, torch.bfloat16, "eager", Layers(3, 2))
    assert weight_bytes(model) - weight_bytes(tied) == 2 * c.vocab_size * c.d_model


def test_features_of_gqa():
    """82,772 images of 256 patches of 1,024 numbers, in two bytes each."""
    assert feature_bytes(82_772, 256, 1024, 2) == 43_396_366_336


def test_what_is_linear_in_layers_is_told_of_all_of_them():
    def cost(layers):
        return 3.0 + 2 * layers.encoder + 5 * layers.decoder

    full = Layers(24, 12)
    for most in (1, 2, 4, 24):
        assert extrapolated({one: cost(one) for one in points(full, most)}, full) == pytest.approx(cost(full))
    for shallow in (Layers(1, 1), Layers(1, 6), Layers(6, 1)):
        assert extrapolated({one: cost(one) for one in points(shallow, 4)}, shallow) == pytest.approx(
            cost(shallow)
        )


def test_no_more_is_tried_than_there_is():
    assert points(Layers(6, 2), 5) == [Layers(2, 2), Layers(5, 2)]
    assert points(Layers(1, 4), 5) == [Layers(1, 2), Layers(1, 4)]
    assert points(Layers(24, 24), 1) == [Layers(2, 2), Layers(3, 2), Layers(2, 3)]
