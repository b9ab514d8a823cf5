"""`bridgelab doctor`: check what is installed, and estimate the time, memory and disk of a run."""

from bridgelab.cli.arguments import Parser, add_json
from bridgelab.cli.overrides import check_choices, check_keys, conf_folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab doctor",
        description="Check what is installed and reachable; estimate a run's time, memory and disk.",
        epilog="bridgelab doctor vision=openclip_vit_l_14 text=flan_t5_xl benchmark=gqa bridge=qformer train.batch_size=32",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value",
        help="as for bridgelab train: also check that run's models and data, and predict its disk, memory and hours. "
        "images=N and examples=N, or N+M for train and test, if the data are not here",
    )  # fmt: skip
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="as for bridgelab train; lists are swept without it too",
    )
    add_json(parser, "the tables")
    options = parser.parse_args(args)
    from bridgelab.doctor.main import SIZES, doctor

    overrides = [one for one in options.overrides if not SIZES.fullmatch(one)]
    check_choices(overrides, conf_folder())
    check_keys(overrides)
    doctor(options.overrides, multirun=options.multirun, as_json=options.json)
