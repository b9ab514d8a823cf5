"""`bridgelab warm-starts`: make the trained bridges from which `bridge.init_from=warm` starts."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, add_trust, folder
from bridgelab.runs.warm_start_files import SHIPPED


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab warm-starts",
        description="Write the bridges of finished runs that read images as warm starts: weights in bfloat16, a card for each, and a page "
        "of all.",
        epilog="Example: bridgelab warm-starts runs/reader",
    )
    parser.add_argument(
        "studies", type=Path, nargs="+", metavar="STUDY_DIR", help="a study's folder, or a run's"
    )
    parser.add_argument(
        "--out", type=Path, default=SHIPPED, metavar="DIR", help="where they go; by default into the package, where runs find them"
    )  # fmt: skip
    add_trust(parser)
    options = parser.parse_args(args)
    folders = [folder(path) for path in options.studies]
    from bridgelab.pretraining.warm_starts import make_warm_starts

    cards = make_warm_starts(folders, options.out, trust=options.trust)
    size = sum(card.with_suffix(".safetensors").stat().st_size for card in cards)
    print(f"{len(cards)} warm starts, {size / 1e6:.1f} MB. What they are: {options.out / 'README.md'}")
