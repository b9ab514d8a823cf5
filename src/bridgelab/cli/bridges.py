"""`bridgelab bridges`: what bridges there are, how large and from where."""

import argparse
import importlib


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    argparse.ArgumentParser(
        "bridgelab bridges", description="The bridges at their sizes for the miniature, as a markdown table."
    ).parse_args(args)
    print(importlib.import_module("bridgelab.training.bridge_table").table())
