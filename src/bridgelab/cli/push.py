"""`bridgelab push`: publish a trained bridge on the Hugging Face hub."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, add_trust, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab push",
        description="Publish a run's trained bridge on the Hugging Face hub: its weights as safetensors, and a model card made from "
        "its record.",
        epilog="Example: bridgelab push runs/first_look/bridge=linear,seed=0 me/linear-bridge",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a finished run, in runs/<study>/"
    )
    parser.add_argument("repo", metavar="REPO", help="ORG/NAME; it is created unless it exists")
    parser.add_argument("--private", action="store_true", help="create the repository private")
    parser.add_argument(
        "--license", metavar="ID", help="the licence of the weights, such as apache-2.0; the card states none by default"
    )  # fmt: skip
    add_trust(parser)
    options = parser.parse_args(args)
    run_folder = folder(options.run)
    from bridgelab.evaluation.push_check import check_push

    check_push(run_folder, options.repo)  # before torch is imported
    from bridgelab.evaluation.push_to_hub import push

    address = push(
        run_folder, options.repo, private=options.private, license_id=options.license, trust=options.trust
    )
    print(address)
