"""`bridgelab evaluate`: trained runs on another benchmark."""

import argparse
import re
import sys
from pathlib import Path

from bridgelab.cli.arguments import UsageError, add_trust, folder
from bridgelab.cli.hydra_app import composed
from bridgelab.config.root import config_root

# What it takes as `train` does; all else is the run's own.
EVALUATED = ("benchmark", "evaluate", "data", "paths", "experiments", "question", "hypothesis")


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab evaluate",
        description="Trained runs on another benchmark or split, as a study of its own: runs/<study>_on_<benchmark>.",
    )
    parser.add_argument(
        "named", nargs="+", metavar="RUN | key=value",
        help="finished runs' folders, and choices as for training: benchmark=pope evaluate.num_beams=5",
    )  # fmt: skip
    parser.add_argument(
        "--split", default="test", help="of the benchmark (test); the world's bends: test-clutter"
    )
    add_trust(parser)
    given = parser.parse_intermixed_args(args)
    choices = [one for one in given.named if _is_choice(one)]
    runs = [folder(Path(one)) for one in given.named if one not in choices]  # all, before hours are spent
    if not runs:
        raise UsageError(f"none of {', '.join(choices)} is a folder. Give runs, such as runs/first_look/*.")
    for one in choices:
        if re.split(r"[=.@/]", one.lstrip("+~"))[0] not in EVALUATED:
            raise UsageError(
                f"{one} changes nothing here: it is the run's own, and an evaluation takes {', '.join(EVALUATED)}. Leave it out."
            )
    asked = composed(choices)
    from bridgelab.evaluation.load import trains_nothing
    from bridgelab.evaluation.other_benchmark import evaluate_run
    from bridgelab.evaluation.progress import TenthsLog

    for run in runs:
        if (run / "last.ckpt").exists() or trains_nothing(run):
            out = evaluate_run(
                run,
                asked,
                config_root(),
                split=given.split,
                progress=TenthsLog(run.name),
                trust=given.trust,
            )
            print(out, flush=True)
        else:  # a run that is not finished, or a folder of trials
            print(f"{run} has no last.ckpt: left out", file=sys.stderr)


def _is_choice(given: str) -> bool:
    """Whether this is `key=value` and no run's folder, whose name has a `=` too: a key has no `/` but in a group's name."""
    key, equals, _ = given.partition("=")
    return bool(equals) and not Path(given).is_dir() and ("/" not in key or key.startswith("hydra/"))
