"""The schema of `config.json` in a repository of the hub that holds a bridge."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from bridgelab.runs.record_schema import Checked


class BlockChoices(Checked):
    """Keyword arguments of `CrossAttentionLayers`, as in `model.cross_attention`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    stack: Literal["encoder", "decoder"]
    every: Annotated[int, Field(ge=1)]
    num_heads: Annotated[int, Field(ge=1)]
    ffn_ratio: Annotated[int, Field(ge=1)]


class HubConfig(Checked):
    """The content of a repository's `config.json`.

    Attributes:
        bridgelab: the version that wrote it.
        bridge: the bridge's name in `conf/bridge/`, or its class if it has none.
        target: the bridge's class.
        choices: the keyword arguments of the class.
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        fingerprints: of the backbones, `vision` and `text`.
        insert: where visual tokens enter the T5.
        positions: whether each patch has a learned position.
        cross_attention: the blocks that read the tokens with `insert="cross_attention"`, and with no other.
        precision: the run's `train.precision`; None if an older version wrote the file.
        features_dtype: the run's `data.dtype`, to which patches are rounded; None if an older version wrote the file.
        groups: the groups `vision`, `text` and `benchmark` of the run's config.
    """

    bridgelab: str
    bridge: Annotated[str, Field(pattern=r"^[\w./-]+$")]
    target: str
    choices: dict[str, Any]
    vision_dim: int
    text_dim: int
    fingerprints: dict[str, str]
    insert: Literal["encoder_input", "encoder_output", "cross_attention"]
    positions: bool
    cross_attention: BlockChoices | None = None
    precision: Literal["auto", "bf16", "fp32"] | None = None
    features_dtype: Literal["bfloat16", "float16", "float32", "int8"] | None = None
    groups: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _check_choices(self) -> "HubConfig":
        """Refuse choices that would take the place of the repository's own class or weights."""
        for key in self.choices:
            if key.startswith("_") or key == "init_from":
                raise ValueError(f"choices has {key}, which is not a keyword argument of a bridge")
        return self

    @model_validator(mode="after")
    def _check_blocks(self) -> "HubConfig":
        if (self.insert == "cross_attention") != (self.cross_attention is not None):
            raise ValueError(
                f"insert={self.insert} with cross_attention={self.cross_attention}: blocks belong to insert=cross_attention alone"
            )
        return self

    def run_keys(self) -> dict[str, Any]:
        """Return the keys of a run's config on which the weights' names and meaning depend, with the values that they need.

        Keys of the backbones and of the bridge's choices are not among them: fingerprints and `check_choices` compare these.
        """
        text = self.groups.get("text", {})
        adapt = text.get("adapt", "none")
        keys = {
            "bridge._target_": self.target,
            "model.insert": self.insert,
            "model.positions": self.positions,
            "text.adapt": adapt,
        }
        if self.cross_attention is not None:
            keys |= {f"model.cross_attention.{k}": v for k, v in self.cross_attention.model_dump().items()}
        if adapt == "prompt":
            keys["text.prompt_tokens"] = text.get("prompt_tokens")
        if adapt == "lora":
            keys |= {f"text.lora.{k}": v for k, v in (text.get("lora") or {}).items()}
        return keys
