"""`bridgelab features`: the frozen encoder's features."""

import argparse
import os
from pathlib import Path

from bridgelab.cli.arguments import UsageError
from bridgelab.cli.hydra_app import composed


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab features", description="The features that a frozen encoder gave, each image once."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{build,verify,info,prune}")
    root = Path(os.environ.get("BRIDGELAB_DATA", "data")) / "features"
    for action, what in {
        "build": "encode the images of a benchmark that are not there yet",
        "verify": "read every byte, and name what is damaged",
        "info": "what there is",
        "prune": "remove what killed writers left, what is damaged, and rows that stand twice",
    }.items():
        made = actions.add_parser(action, help=what, description=f"{what[0].upper()}{what[1:]}.")
        if action == "build":
            made.add_argument(
                "choices", nargs="*", metavar="key=value",
                help="as for training: benchmark=nlvr vision=miniature data.dtype=float16 data.on_error=skip paths.features=DIR",
            )  # fmt: skip
            made.add_argument(
                "--shard", metavar="I/N", help="the part to begin with, of N processes; on Slurm its task's"
            )
            made.add_argument(
                "--splits", metavar="A,B", help="of the benchmark; those that training reads by default"
            )
        else:
            made.add_argument(
                "--root", type=Path, default=root, metavar="DIR", help=f"of all stores ({root})"
            )
        if action == "prune":
            made.add_argument(
                "--store", action="append", default=[], metavar="NAME", help="one that goes whole"
            )
    given = parser.parse_args(args)
    if given.action == "build":
        _build_features(given.choices, given.shard, given.splits)
        return
    from bridgelab.data import upkeep

    if given.action == "info":
        there = upkeep.info(given.root)
        if not there:
            print(f"no features in {given.root}")
        for one in there:
            row = "no rows" if one.row is None else f"{one.row[0]} patches of {one.row[1]}"
            left = f", {one.left} files to prune" if one.left else ""
            left += f", {one.foreign} files that do not belong there" if one.foreign else ""
            print(
                f"{one.name}: {one.images:,} images, {row}, {one.shards} files, {one.size / 1e6:,.1f} MB{left}"
            )
    elif given.action == "verify":
        rows, lines, foreign = upkeep.verify(given.root)
        print("\n".join([*lines, *foreign, f"{rows:,} rows read"]))
        if lines:
            raise UsageError(
                f"{len(lines)} of them are damaged. Run `bridgelab features prune`; whatever asks for these images next, a run "
                "or `bridgelab features build`, encodes them again."
            )
        if foreign:
            raise UsageError(
                f"{len(foreign)} files do not belong where they lie. They are never read; move them where they belong, or remove "
                "them."
            )
    else:
        print("\n".join(upkeep.prune(given.root, given.store) or ["nothing to prune"]))


def _build_features(choices: list[str], shard: str | None, splits: str | None) -> None:
    from bridgelab.data import feature_source as features

    part = features.part_of(shard, os.environ)
    config = composed(choices)
    print(features.build_features(config, splits.split(",") if splits else None, part))
