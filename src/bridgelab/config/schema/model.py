"""Keys of the model: bridge, backbones, and where visual tokens are inserted. Free of torch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bridgelab.config.schema.base import ClassKeys, Count, Decay, Keys, Name, Number, PathName, Positive

Insert = Literal["encoder_input", "encoder_output", "cross_attention"]


class Bridge(ClassKeys):
    of_any_class: ClassVar[frozenset[str] | None] = frozenset({"init_from", "insert"})
    init_from: PathName | None = None
    insert: Insert | None = None
    num_queries: Count = 1
    num_tokens: Number = 1
    depth: Count = 1
    width: Count | None = None
    hidden_dim: Count | None = None
    ffn_dim: Count | None = None
    num_heads: Count = 1
    num_kv_heads: Count = 1
    head_dim: Count | None = None
    num_points: Count = 1
    cross_attention_every: Count = 1
    ffn_ratio: Count = 1
    ratio: Count = 1
    dropout: Decay = 0.0
    query_gain: Positive = 1.0
    eps: Positive = 1.0
    conditioning: Literal["none", "question", "mismatched"] = "none"
    projector: Literal["linear", "mlp"] = "linear"
    form: Literal["as_given", "patch_like"] = "as_given"


class Vision(ClassKeys):
    weights: PathName = "miniature"
    pretrained: PathName | None = None
    image_size: Count | None = None
    layer: int = -1
    cls: bool = False
    final_norm: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class Lora(Keys):
    rank: Count
    alpha: Positive | None
    targets: Annotated[list[Literal["q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"]], Field(min_length=1)]


class Text(ClassKeys):
    path: PathName = "miniature"
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Literal["eager", "sdpa", "flex_attention"] = "eager"
    device_map: str | dict[str, Any] | None = None
    eight_bit: bool = False
    checkpointing: bool = False
    dense_act_fn: Name | None = None
    adapt: Literal["none", "prompt", "lora"] = "none"
    prompt_tokens: Count = 1
    lora: Lora | None = None


class CrossAttention(Keys):
    stack: Literal["encoder", "decoder"]
    every: Count
    num_heads: Count
    ffn_ratio: Count


class Model(Keys):
    insert: Insert
    positions: bool
    cross_attention: CrossAttention


class Budget(Keys):
    params: Count | None
    tokens: Count | None
