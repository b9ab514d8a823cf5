"""`bridgelab doctor`: check what is installed, and estimate the time, memory and disk of a run."""

from bridgelab.cli.hydra_app import check_keys


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if any("=" in arg for arg in args):
        check_keys(args)
    from bridgelab.doctor.main import doctor

    doctor(args)
