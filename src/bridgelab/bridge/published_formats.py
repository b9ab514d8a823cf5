"""How published implementations name a bridge's tensors.

A format is a list of templates (theirs, ours). `{i}` or `{p}` stands for one part of a dotted name, `{rest}` for all that
follows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """How a published implementation names a bridge's tensors.

    Args:
        templates: pairs (theirs, ours).
        prefixes: prefixes of the bridge's tensors in their names. A tensor with one that no template matches is an error.
        dropped: pairs (pattern, reason) of their tensors that have no counterpart here.
        copies: pairs (name, name) of their tensors of which the first is a copy of the second.
        absent: prefixes of our tensors that have no counterpart there.
        text_side: whether it is of BLIP-2's first stage, where something reads the last layer's words.
    """

    templates: tuple[tuple[str, str], ...]
    prefixes: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    text_side: bool = False


def _bert(layer: str, attention: str) -> tuple[tuple[str, str], ...]:
    """Return the templates of a Q-Former's layers; `layer` is their prefix, `attention` their name of the inner module."""
    blocks = [
        (f"{layer}.{{i}}.{block}.{attention}.{{rest}}", f"layer.{{i}}.{block}.attention.{{rest}}")
        for block in ("attention", "crossattention")
    ]
    blocks += [
        (f"{layer}.{{i}}.{block}.output.{{rest}}", f"layer.{{i}}.{block}.output.{{rest}}")
        for block in ("attention", "crossattention")
    ]
    for theirs, ours in (("_query", "ffn_query"), ("", "ffn_text")):
        blocks.append((f"{layer}.{{i}}.intermediate{theirs}.dense.{{p}}", f"layer.{{i}}.{ours}.dense.{{p}}"))
        blocks.append((f"{layer}.{{i}}.output{theirs}.{{rest}}", f"layer.{{i}}.{ours}.output.{{rest}}"))
    return tuple(blocks)


_EMBEDDINGS = "BERT's embeddings: the frozen T5's are used instead"
_HF_QFORMER = ("query_tokens", "vision_model.post_layernorm.", "language_projection.", "qformer.")
_HEAD = "a head of the first stage of training"

FORMATS = {
    "llava": Format(
        (
            ("model.mm_projector.{p}", "mm_projector.{p}"),
            ("model.mm_projector.{i}.{p}", "mm_projector.{i}.{p}"),
        ),
        ("model.mm_projector.",),
    ),
    "llava_hf": Format(
        (
            ("multi_modal_projector.linear_1.{p}", "mm_projector.0.{p}"),
            ("multi_modal_projector.linear_2.{p}", "mm_projector.2.{p}"),
        ),
        ("multi_modal_projector.",),
    ),
    "blip2": Format(
        (
            ("query_tokens", "query_tokens"),
            ("ln_vision.{p}", "ln_vision.{p}"),
            ("t5_proj.{p}", "language_projection.{p}"),
            ("Qformer.bert.embeddings.LayerNorm.{p}", "layernorm.{p}"),
            *_bert("Qformer.bert.encoder.layer", "self"),
        ),
        ("query_tokens", "ln_vision.", "t5_proj.", "opt_proj.", "llm_proj.", "Qformer."),
        (
            (r"Qformer\.bert\.embeddings\.(word|position)_.*", _EMBEDDINGS),
            (r"Qformer\.cls\..*", _HEAD),
        ),
    ),
    "blip2_stage1": Format(
        (
            ("query_tokens", "query_tokens"),
            ("ln_vision.{p}", "ln_vision.{p}"),
            ("Qformer.bert.embeddings.word_embeddings.weight", "word_embeddings.weight"),
            ("Qformer.bert.embeddings.position_embeddings.weight", "position_embeddings.weight"),
            ("Qformer.bert.embeddings.LayerNorm.{p}", "layernorm.{p}"),
            *_bert("Qformer.bert.encoder.layer", "self"),
            ("Qformer.cls.predictions.bias", "lm_head.bias"),
            ("Qformer.cls.predictions.transform.{rest}", "lm_head.{rest}"),
            *((f"{head}.{{p}}", f"{head}.{{p}}") for head in ("vision_proj", "text_proj", "itm_head")),
            ("temp", "temp"),
        ),
        ("query_tokens", "ln_vision.", "Qformer.", "vision_proj.", "text_proj.", "itm_head.", "temp"),
        ((r"Qformer\.bert\.embeddings\.position_ids", "the numbers from 0 on"),),
        copies=(
            ("Qformer.cls.predictions.decoder.weight", "Qformer.bert.embeddings.word_embeddings.weight"),
            ("Qformer.cls.predictions.decoder.bias", "Qformer.cls.predictions.bias"),
        ),
        text_side=True,
    ),
    "blip2_itm_hf": Format(
        (
            ("query_tokens", "query_tokens"),
            ("vision_model.post_layernorm.{p}", "ln_vision.{p}"),
            ("embeddings.word_embeddings.weight", "word_embeddings.weight"),
            ("embeddings.position_embeddings.weight", "position_embeddings.weight"),
            ("qformer.layernorm.{p}", "layernorm.{p}"),
            *_bert("qformer.encoder.layer", "attention"),
            ("vision_projection.{p}", "vision_proj.{p}"),
            ("text_projection.{p}", "text_proj.{p}"),
            ("itm_head.{p}", "itm_head.{p}"),
        ),
        (
            "query_tokens",
            "vision_model.post_layernorm.",
            "embeddings.",
            "qformer.",
            "vision_projection.",
            "text_projection.",
            "itm_head.",
        ),
        absent=("lm_head.", "temp"),
        text_side=True,
    ),
    "blip2_hf": Format(
        (
            ("query_tokens", "query_tokens"),
            ("vision_model.post_layernorm.{p}", "ln_vision.{p}"),
            ("language_projection.{p}", "language_projection.{p}"),
            ("qformer.layernorm.{p}", "layernorm.{p}"),
            *_bert("qformer.encoder.layer", "attention"),
        ),
        _HF_QFORMER,
    ),
    "instructblip_hf": Format(
        (
            ("query_tokens", "query_tokens"),
            ("vision_model.post_layernorm.{p}", "ln_vision.{p}"),
            ("language_projection.{p}", "language_projection.{p}"),
            ("qformer.embeddings.layernorm.{p}", "layernorm.{p}"),
            *_bert("qformer.encoder.layer", "attention"),
        ),
        _HF_QFORMER,
        ((r"qformer\.embeddings\.(word|position)_.*", _EMBEDDINGS),),
    ),
    "openflamingo": Format(
        (
            ("perceiver.latents", "latents"),
            ("perceiver.layers.{rest}", "layers.{rest}"),
            ("perceiver.norm.{p}", "norm.{p}"),
        ),
        ("perceiver.",),
        ((r"perceiver\.(frame_embs|media_time_embs)", "positions in time: an image has none"),),
    ),
    "idefics2": Format(
        (
            ("model.connector.modality_projection.{rest}", "modality_projection.{rest}"),
            ("model.connector.perceiver_resampler.{rest}", "perceiver_resampler.{rest}"),
        ),
        ("model.connector.",),
    ),
}
