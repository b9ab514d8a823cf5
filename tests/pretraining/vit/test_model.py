import torch

from bridgelab.pretraining.vit.model import build


def test_words_are_linear_in_what_the_decoder_attends_to():
    model = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 24,
            "patch_size": 12,
            "width": 32,
            "layers": 1,
            "head_width": 16,
            "output_tokens": True,
        },
        "text_cfg": {"width": 32, "heads": 2, "layers": 1, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1},
    }
    x = torch.randn(2, 5, 32)
    assert sum(p.numel() for p in build(model, 3).parameters()) < sum(
        p.numel() for p in build(model, 3, decoder_mlp=True).parameters()
    )
    block = build(model, 3).text_decoder.cross_attn[0]
    assert torch.equal(block(x, x, x), x + block.attention(block.ln_1(x), block.ln_1_kv(x), block.ln_1_kv(x)))
