"""The frozen vision encoder and language model that a config names, and a bridge between them."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.bridge.budget import with_parameters, with_tokens
from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers
from bridgelab.bridge.hub import HubBridge, read_hub_bridge
from bridgelab.bridge.hub_repository import is_hub
from bridgelab.bridge.init_from import METADATA
from bridgelab.bridge.warm_starts import bridge_traits, find_warm_start
from bridgelab.bridge.weights import (
    load_run_extras,
    load_weights,
    read_initial,
    read_origin,
    read_run_extras,
)
from bridgelab.config.instantiate import bridge_choices, build, target
from bridgelab.model import BridgedModel, bf16_is_fast
from bridgelab.out_of_memory import SMALLER_T5, explain_full_gpu
from bridgelab.runs.identity import read_keys
from bridgelab.runs.insert import insert_of
from bridgelab.runs.warm_start_files import WARM, starts_warm, warm_start_folder
from bridgelab.text.adapter import build_adapter, check_lora_targets

log = logging.getLogger(__name__)


class Backbones:
    """The frozen vision encoder and the frozen language model.

    Args:
        config: a run's config.
        device: where the models go.
        text: the language model, or its tokenizer alone; None for that of the config.

    Attributes:
        vision: the vision encoder; None for a bridge that sees nothing.
        text: the language model.
        sees: what the bridge reads: `image`, `words` or `nothing`.
        fingerprints: a hash of each model's weights and settings, by name.
        hub_bridge: what `bridge.init_from` names on the hub; None if it names a file or nothing.
        warm_starts: those that were read, by seed.
        not_loaded: the trained tensors that a file of `bridge.init_from` left at their initial values.
        reads_raw: whether that file's bridge was published for patches as they are, and what meets the patches was loaded.
    """

    reads_raw = False

    def __init__(self, config: DictConfig, device: Any, text: Any = None):
        self.config, self.device = config, torch.device(device)
        self.sees = getattr(target(config.bridge, "bridge"), "sees", "image")
        source = config.bridge.get("init_from")
        self.not_loaded: list[str] = []
        self.warm_starts: dict[int, HubBridge] = {}
        self.hub_bridge = read_hub_bridge(source) if is_hub(source) else None
        if self.hub_bridge:  # before large models are read
            self.hub_bridge.check_config(config)
        if text is None:
            log.info("loading the T5")
            text = build(config.text, "text")
        self.text = text
        if config.text.get("adapt") == "lora":
            check_lora_targets(self.text.model, config.text.lora.targets)
        # The floor `blind` needs no vision encoder, which would take seconds to load.
        self.vision: Any = None
        if self.sees != "nothing":
            log.info("loading the ViT")
            self.vision = build(config.vision, "vision")
        self.all = {"text": self.text} | ({"vision": self.vision} if self.vision is not None else {})
        self.fingerprints = {name: backbone.fingerprint for name, backbone in self.all.items()}
        self.vision_dim = {"image": getattr(self.vision, "dim", 1), "words": self.text.dim, "nothing": 1}[
            self.sees
        ]
        if self.hub_bridge:
            dims = {"vision": self.vision_dim, "text": self.text.dim}
            self.hub_bridge.check_backbones({name: dims[name] for name in self.all}, self.fingerprints)

    def patches(self, images: int) -> int:
        """Return how many patches an example with this many images has."""
        rows, columns = self.vision.grid
        return images * (rows * columns + self.vision.cls)

    def model(
        self,
        seed: int,
        *,
        mean: torch.Tensor | None = None,
        std: torch.Tensor | None = None,
        images: int | None = None,
        init_from: Any = None,
    ) -> BridgedModel:
        """Return the bridge that a seed initializes, between the backbones.

        Args:
            seed: of the initialization.
            mean: of the training images' patches [vision_dim].
            std: of the training images' patches [vision_dim].
            images: the number of images of an example; None for that of the weights that it starts from, or 1.
            init_from: a file in place of that of `bridge.init_from`, which may be another seed's.
        Raises:
            ValueError: if the bridge can't be built, or not within its budget of tokens or parameters, or if
                `bridge.init_from` holds another bridge.
            MemoryError: if a GPU's memory runs out.
        """
        config = self.config
        precision = config.train.precision
        if precision == "auto":
            precision = "bf16" if bf16_is_fast(self.device) else "fp32"
        torch.manual_seed(seed)
        adapter = build_adapter(config.text, self.text.model)
        torch.manual_seed(seed)  # again, so that a bridge starts the same beside any adapter
        bridge_class, choices = self.bridge_choices()
        bridge = bridge_class(self.vision_dim, self.text.dim, **choices)
        start = self.start(seed, bridge_class, choices) if any(True for _ in bridge.parameters()) else None
        extras = self.load_file(bridge, init_from or config.bridge.get("init_from"))
        given = start.tensors if start else extras
        if given or self.reads_raw:
            if self.reads_raw and mean is not None:
                log.info("the bridge was published for patches as they are: they are not standardized")
            mean, std = (given.get(name) for name in ("mean", "std"))
        if images is None:
            positions = given.get("positions")
            images = 1 if positions is None else max(1, len(positions) // self.patches(1))
        with_positions = config.model.positions and self.sees == "image"
        model = BridgedModel(
            bridge,
            self.text,
            mean=mean,
            std=std,
            precision=precision,
            insert=insert_of(config),
            positions=(self.patches(images), self.vision_dim) if with_positions else None,
            cross_attention=self._cross_attention(),  # after the bridge, whose initialization stays that of other inserts
            adapter=adapter,
        )
        if start:
            model.load_trained(start.tensors, start.source)
        if extras:
            self.not_loaded += load_run_extras(model, model.trained_state(), extras, log.info)
        self.limit_tokens(bridge)
        with explain_full_gpu(": the T5 with its bridge does not fit", SMALLER_T5):
            return model.to(self.device)

    def load_file(self, bridge: Any, source: Any) -> Mapping[str, torch.Tensor]:
        """Load the file of `bridge.init_from`, if it names one, into a bridge.

        Args:
            bridge: changed in place.
            source: `bridge.init_from`.
        Returns:
            What a run's checkpoint holds beside the bridge, see `read_run_extras`; nothing for other files.
        Raises:
            ValueError: if the file holds another bridge.
        """
        if not source or source == WARM or is_hub(source):
            return {}
        self.not_loaded = load_weights(bridge, read_initial(source, self.fingerprints, log.warning), log.info)
        # With another vision width, the norm before the patches and all that reads them starts anew.
        self.reads_raw = METADATA in read_origin(source) and "ln_vision.weight" not in self.not_loaded
        return read_run_extras(source, self.fingerprints) or {}

    def start(self, seed: int, bridge_class: Any, choices: dict[str, Any]) -> HubBridge | None:
        """Return the trained bridge that a seed starts from: the hub's, or the seed's warm start; None for neither.

        Args:
            seed: of the initialization.
            bridge_class: the bridge's class.
            choices: its keyword arguments.
        Raises:
            ValueError: if `bridge.init_from` holds another bridge.
        """
        config, taken = self.config, inspect.signature(bridge_class).parameters.values()
        defaults = {p.name: p.default for p in taken if p.default is not p.empty}
        if self.hub_bridge:
            self.hub_bridge.check_choices(choices, defaults)
        elif starts_warm(config) and seed not in self.warm_starts:
            sides = {"text": "the language model", "vision": "the vision encoder"}
            traits = {
                "bridge._target_": config.bridge._target_,
                **{sides[side]: fingerprint for side, fingerprint in self.fingerprints.items()},
                "model.insert": insert_of(config),
                "model.positions": config.model.positions,
                "text.adapt": config.text.get("adapt", "none"),
                **read_keys(config),
                **bridge_traits({**defaults, **choices}),
                "seed": seed,
            }
            self.warm_starts[seed] = find_warm_start(warm_start_folder(config), traits, defaults)
        return self.hub_bridge or self.warm_starts.get(seed)

    def limit_tokens(self, bridge: Any) -> None:
        """Let a bridge output, outside training, as many tokens as `evaluate.tokens` says.

        Raises:
            ValueError: if it always outputs the same number, or has not as many.
        """
        number = OmegaConf.select(self.config, "evaluate.tokens")
        if hasattr(bridge, "limit_tokens"):
            bridge.limit_tokens(number)
        elif number is not None:
            raise ValueError(
                f"evaluate.tokens={number}: {type(bridge).__name__} is trained for one number of tokens. Set evaluate.tokens=null, or "
                "bridge=matryoshka."
            )

    def bridge_choices(self) -> tuple[Any, dict[str, Any]]:
        """Return the bridge's class and its keyword arguments, with those that its budgets are solved for.

        Raises:
            ValueError: if the class does not take an argument, or can't be built within a budget.
        """
        config = self.config
        grid = getattr(self.vision, "grid", None)
        bridge_class = target(config.bridge, "bridge")
        if getattr(bridge_class, "needs_cls", False) and not self.vision.cls:
            raise ValueError(
                f"vision.cls=false: {bridge_class.__name__} reads the class token alone. Set vision.cls=true, for each bridge that it is "
                "compared with as well."
            )
        choices = bridge_choices(config.bridge, grid)
        tokens, parameters = config.budget.tokens, config.budget.params
        if tokens is not None and choices.get("num_tokens") != 0:  # plain words have no prompt to match
            per_image = getattr(bridge_class, "tokens_per_image", None)
            choices = with_tokens(choices, tokens, grid or (1, 1), bridge_class.__name__, per_image)
        if parameters is not None and self.sees == "image":
            choices = with_parameters(
                bridge_class, choices, parameters, (self.vision_dim, self.text.dim), bridge_class.__name__
            )
        return bridge_class, choices

    def _cross_attention(self) -> CrossAttentionLayers | None:
        """Return the blocks that read the visual tokens; None for words, and if tokens are inserted elsewhere."""
        if insert_of(self.config) != "cross_attention" or self.sees == "words":
            return None
        choices = self.config.model.cross_attention
        layers = len(getattr(self.text.model, choices.stack).block)
        return CrossAttentionLayers(self.text.dim, layers, **choices)
