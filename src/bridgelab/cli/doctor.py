"""`bridgelab doctor`: what is installed and reachable, and how big a run is going to be."""

import importlib


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    importlib.import_module("bridgelab.doctor.main").doctor(args)
