"""`bridgelab doctor`: what is installed and reachable, and how big a run is going to be."""


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    from bridgelab.doctor.main import doctor

    doctor(args)
