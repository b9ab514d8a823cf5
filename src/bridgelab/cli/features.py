"""`bridgelab features`: build and maintain the stored features of the frozen vision encoder."""

import os
from pathlib import Path

from bridgelab.cli.arguments import Parser, UsageError
from bridgelab.cli.hydra_app import composed
from bridgelab.printable import printable


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    options = _parser().parse_args(args)
    if options.action == "build":
        _build(options.choices, options.shard, options.splits)
    elif options.action == "list":
        _list(options.root)
    elif options.action == "verify":
        _verify(options.root)
    else:
        from bridgelab.data.features.maintenance import prune

        print("\n".join(prune(options.root, options.store) or ["nothing to prune"]))


def _parser() -> Parser:
    parser = Parser(
        "bridgelab features",
        description="Build and maintain the stored features of the frozen vision encoder.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{build,list,verify,prune}")
    root = Path(os.environ.get("BRIDGELAB_DATA", "data")) / "features"
    for action, what in {
        "build": "encode the images of a benchmark whose features are not stored yet",
        "list": "list the stores and their sizes",
        "verify": "read all stored features and report damaged ones",
        "prune": "remove files of interrupted writers, damaged rows and duplicate rows",
    }.items():
        description = f"{what[0].upper()}{what[1:]}."
        subparser = actions.add_parser(action, help=what, description=description)
        if action == "build":
            subparser.add_argument(
                "choices", nargs="*", metavar="key=value",
                help="overrides as for training: benchmark=nlvr vision=miniature data.dtype=float16 data.on_error=skip paths.features=DIR",
            )  # fmt: skip
            subparser.add_argument(
                "--shard",
                metavar="I/N",
                help="begin with part I of N, for N processes side by side; on Slurm the task's part by default",
            )
            subparser.add_argument(
                "--splits",
                metavar="A,B",
                help="splits of the benchmark; by default those that training reads",
            )
        else:
            subparser.add_argument(
                "--root", type=Path, default=root, metavar="DIR", help=f"the folder of all stores ({root})"
            )
        if action == "prune":
            subparser.add_argument(
                "--store",
                action="append",
                default=[],
                metavar="NAME",
                help="remove this store entirely (may be repeated)",
            )
    return parser


def _list(root: Path) -> None:
    from bridgelab.data.features.maintenance import info

    stores = info(root)
    if not stores:
        print(f"no features in {root}")
    for store in stores:
        row = "no rows" if store.row is None else f"{store.row[0]} patches of {store.row[1]}"
        left = f", {store.left} files to prune" if store.left else ""
        left += f", {store.foreign} files that do not belong there" if store.foreign else ""
        print(
            f"{store.name}: {store.images:,} images, {row}, {store.shards} files, {store.size / 1e6:,.1f} MB{left}"
        )


def _verify(root: Path) -> None:
    from bridgelab.data.features.maintenance import verify

    rows, damaged, foreign = verify(root)
    print("\n".join(map(printable, [*damaged, *foreign, f"{rows:,} rows read"])))
    if damaged:
        raise UsageError(
            f"{len(damaged)} of them are damaged. Run 'bridgelab features prune'; the next run or 'bridgelab features build' that "
            "needs these images encodes them again."
        )
    if foreign:
        raise UsageError(
            f"{len(foreign)} files do not belong where they are. They are never read: move or remove them."
        )


def _build(choices: list[str], shard: str | None, splits: str | None) -> None:
    config = composed(choices)
    from bridgelab.data.features import feature_source as features

    part = features.work_part(shard, os.environ)
    print(features.build_features(config, splits.split(",") if splits else None, part))
