"""`bridgelab world`: write a split of the built-in world."""

import logging
import os
import sys
from pathlib import Path

from bridgelab.cli.arguments import Parser, UsageError


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    from bridgelab.world.distribution_shift import SHIFTS

    parser = Parser(
        "bridgelab world",
        description="Write a split of the built-in world in CLEVR's layout: images, scenes, questions and captions.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder of the data set; a split that is there is kept",
    )
    parser.add_argument(
        "--split",
        required=True,
        help=f"train, val or test; or one with a shift, such as test-many: {', '.join(SHIFTS)}",
    )
    parser.add_argument("--images", type=int, required=True, help="the number of images")
    parser.add_argument(
        "--seed", type=int, default=0, help="the seed (0); the files do not depend on --processes"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="the number of processes (one per core)"
    )
    options = parser.parse_args(args)
    for name in ("images", "processes"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)} is not positive. Give at least 1.")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    from bridgelab.benchmark.world import World

    split = options.split
    world = World(options.out, images={split: options.images}, seed=options.seed, processes=options.processes)
    known = (options.out / f"{split}.done").exists()
    world.make(split)
    if known:
        print(f"{options.out} has this {split} already", file=sys.stderr)
