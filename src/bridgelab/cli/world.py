"""`bridgelab world`: make images, scenes, questions and captions of the built-in world."""

import argparse
import os
from pathlib import Path

from bridgelab.cli.arguments import UsageError


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    from bridgelab.world.bend import BENDS

    parser = argparse.ArgumentParser("bridgelab world", description="Write a split in CLEVR's layout.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--split", required=True, help=f"train, val, test; or bent, as in test-many: {', '.join(BENDS)}"
    )
    parser.add_argument("--images", type=int, required=True, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same files, whatever --processes (0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="one a core by default")
    given = parser.parse_args(args)
    for name in ("images", "processes"):
        if getattr(given, name) < 1:
            raise UsageError(f"--{name} {getattr(given, name)} is not positive. Give at least 1.")
    from bridgelab.world.write import write_world

    write_world(given.out, given.split, given.images, given.seed, given.processes)
