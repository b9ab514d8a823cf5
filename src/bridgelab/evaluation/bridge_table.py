"""`bridgelab bridges`: the table of bridges in `docs/bridges.md`, from their classes and `conf/bridge/`."""

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from bridgelab.config.instantiate import bridge_choices, build, target
from bridgelab.config.root import config_root

WORDS = 32  # of a question: most prompts of the built-in world are padded to this
PUBLISHED = "_published"  # a size for larger models than the miniature
COLUMNS = ("bridge", "tokens", "parameters", "FLOPs an image", "idea", "its authors' code")
CONTROL = "_mismatched"  # a control with the same numbers as its `_question`


def table() -> str:
    """Return the bridges that read the image, at their sizes for the miniature, as a markdown table."""
    conf = config_root() / "conf"
    rows: list[tuple[str, ...]] = [COLUMNS, ("---", "---:", "---:", "---:", "---", "---")]
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("train")
        vision, text = build(config.vision, "vision"), build(config.text, "text")
        for path in sorted((conf / "bridge").glob("*.yaml")):
            bridge = compose("train", [f"bridge={path.stem}"]).bridge
            sees = getattr(target(bridge, "bridge"), "sees", "image")
            # A bridge with an insert or weights of its own has the class and the numbers of another one.
            is_variant = (
                path.stem.endswith(CONTROL)
                or PUBLISHED in path.stem
                or bridge.get("insert")
                or bridge.get("init_from")
            )
            if sees == "image" and not is_variant:
                rows.append(_row(path.stem, bridge, vision.dim, text.dim, vision.grid))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(
    name: str, config: DictConfig, vision_dim: int, text_dim: int, grid: tuple[int, int]
) -> tuple[str, ...]:
    cls, choices = target(config, "bridge"), bridge_choices(config, grid)
    bridge = cls(vision_dim, text_dim, **choices)
    patches = torch.zeros(1, grid[0] * grid[1] + getattr(cls, "needs_cls", False), vision_dim)
    question = torch.zeros(1, WORDS, text_dim) if choices.get("conditioning", "none") != "none" else None
    with FlopCounterMode(display=False) as counter:
        tokens = bridge(patches, question)
    return (
        f"`{name}`",
        str(tokens.shape[1]),
        f"{sum(p.numel() for p in bridge.parameters()):,}",
        f"{counter.get_total_flops() / 1e6:.1f} M",
        getattr(cls, "paper", "–"),
        getattr(cls, "code_licence", "–"),
    )
