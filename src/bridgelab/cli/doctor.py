"""`bridgelab doctor`: check what is installed, and estimate the time, memory and disk of a run."""

from bridgelab.cli.overrides import check_choices, check_keys, conf_folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    from bridgelab.doctor.main import SIZES, doctor

    overrides = [one for one in args if not one.startswith("-") and not SIZES.fullmatch(one)]
    check_choices(overrides, conf_folder())
    check_keys(overrides)
    doctor(args)
