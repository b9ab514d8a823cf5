import pytest
import torch
from transformers import T5ForConditionalGeneration

from bridgelab.text.published import published_config

# As counted on the published weights (hub pages of these models).
PARAMETERS = {
    "google-t5/t5-small": 60_506_624,
    "google-t5/t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "google-t5/t5-3b": 2_851_598_336,
    "google-t5/t5-11b": 11_307_321_344,
    "google/t5-v1_1-small": 76_961_152,
    "google/flan-t5-base": 247_577_856,
    "google/flan-t5-large": 783_150_080,
    "google/flan-t5-xl": 2_849_757_184,
    "google/t5-v1_1-xxl": 11_135_332_352,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_hold_the_published_number_of_weights(name):
    config = published_config(name)
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
    # transformers finds out in the weights that the later ones have an output matrix of their own.
    own = 0 if config.scale_decoder_outputs else config.vocab_size * config.d_model
    assert sum(p.numel() for p in model.parameters()) + own == PARAMETERS[name]


@pytest.mark.parametrize(
    "name", ["google/flan-t5-3b", "google/mt5-base", "bigscience/T0", "miniature", "my/folder/t5-base/x"]
)
def test_another_model_has_no_shape_here(name):
    assert published_config(name) is None
