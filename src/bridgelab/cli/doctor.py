"""`bridgelab doctor`: what is installed and reachable, and how big a run is going to be."""

from bridgelab.cli.hydra_app import check_keys


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    if any("=" in arg for arg in args):
        check_keys(args)
    from bridgelab.doctor.main import doctor

    doctor(args)
