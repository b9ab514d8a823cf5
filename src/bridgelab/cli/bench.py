"""`bridgelab bench`: how fast the parts are on this machine."""

import argparse
import os


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    argparse.ArgumentParser(
        "bridgelab bench", description="How fast the parts are on this machine."
    ).parse_args(args)
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # read as torch is loaded: else its profiler talks between the tables
    from bridgelab.bench.main import bench

    bench()
