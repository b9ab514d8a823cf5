"""`bridgelab bridges`: what bridges there are, how large and from where."""

import argparse


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    argparse.ArgumentParser(
        "bridgelab bridges", description="The bridges at their sizes for the miniature, as a markdown table."
    ).parse_args(args)
    from bridgelab.training.bridge_table import table

    print(table())
