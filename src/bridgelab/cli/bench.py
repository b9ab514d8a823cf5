"""`bridgelab bench`: measure the speed of each component on this machine."""

import os

from bridgelab.cli.arguments import Parser


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    Parser(
        "bridgelab bench",
        description="Measure the speed of each component on this machine, beside reference implementations.",
    ).parse_args(args)
    # torch reads this on import. Without it, its profiler logs between the tables.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from bridgelab.speed.main import bench

    bench()
