"""`bridgelab evaluate`: evaluate trained runs on another benchmark or split, or a published bridge."""

import re
import sys
from pathlib import Path

from bridgelab.cli.arguments import Parser, UsageError, add_trust, folder
from bridgelab.cli.hydra_app import composed
from bridgelab.cli.published import published_config
from bridgelab.runs.finished import RECORD, is_finished
from bridgelab.runs.repeat_command import OVERRIDES, keep_overrides

# The groups that may be overridden. All others stay as the run was trained.
EVALUATED = ("benchmark", "evaluate", "data", "paths", "experiments", "question", "hypothesis", "study")


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab evaluate",
        description="Evaluate trained runs on another benchmark or split, and write the results as a study, runs/<study>_on_<benchmark>. "
        "Without benchmark=NAME each run is evaluated on its own benchmark. "
        "With study=NAME write NAME_on_<benchmark>. With --bridge evaluate a published bridge without training, and write "
        "runs/published_on_<benchmark>.",
    )
    parser.add_argument(
        "named", nargs="*", metavar="RUN | key=value",
        help="folders of finished runs, and overrides as for training: benchmark=pope evaluate.num_beams=5",
    )  # fmt: skip
    parser.add_argument(
        "--bridge", metavar="SOURCE",
        help="instead of runs, a published bridge: a file that 'bridgelab convert --from' wrote, or hf://ORG/NAME; give vision=, text= "
        "and benchmark= beside it. Or 'warm', a trained bridge of the package: bridge=mlp seed=0",
    )  # fmt: skip
    parser.add_argument(
        "--split",
        default="test",
        help="the split (test); of the built-in world also shifted ones, such as test-clutter",
    )
    add_trust(parser)
    options = parser.parse_intermixed_args(args)
    choices = [one for one in options.named if _is_choice(one)]
    # Check all of them before the first is evaluated.
    runs = _runs([Path(one) for one in options.named if one not in choices])
    if options.bridge:
        if runs:
            raise UsageError(f"{runs[0]} and --bridge {options.bridge}: give runs, or a published bridge.")
        _evaluate_published(options.bridge, choices, options.split, trust=options.trust)
        return
    if not runs:
        raise UsageError(
            f"none of {', '.join(choices) or 'no argument'} is a folder. Give runs, such as runs/first_look/*."
        )
    for one in choices:
        if re.split(r"[=.@/]", one.lstrip("+~"))[0] not in EVALUATED:
            raise UsageError(
                f"{one} changes nothing here: it is the run's own, and an evaluation takes {', '.join(EVALUATED)}. Leave it out."
            )
    config = composed(choices)
    from bridgelab.data.scene_words import NoSceneWords
    from bridgelab.evaluation.evaluate import evaluate_run
    from bridgelab.evaluation.load import trains_nothing
    from bridgelab.progress import TenthsLog
    from bridgelab.world.layout import TooManyWords

    for run in runs:
        # One that trains or was stopped has a checkpoint too, of the weights of that moment.
        if not is_finished(run):
            print(f"{run} is not a finished run, as it has no {RECORD}: left out", file=sys.stderr)
        elif (run / "last.ckpt").exists() or trains_nothing(run):
            try:
                out = evaluate_run(
                    run,
                    config,
                    split=options.split,
                    progress=TenthsLog(run.name),
                    trust=options.trust,
                    given=[re.split(r"[=@]", one.lstrip("+~"))[0] for one in choices],
                )
            except (TooManyWords, NoSceneWords) as error:  # of ceilings; other rows can do without them
                print(f"{run} is left out: {error}", file=sys.stderr)
                continue
            _keep(out, choices)
            print(out, flush=True)
        else:  # recorded without weights, or evaluated
            print(f"{run} has no last.ckpt: left out", file=sys.stderr)


def _runs(paths: list[Path]) -> list[Path]:
    """Return the folders among the arguments, without the files of a study that `runs/STUDY/*` names beside its runs.

    Raises:
        UsageError: if an argument does not exist, or all of them are files.
    """
    folders = [path for path in paths if path.is_dir()]
    return [folder(path) for path in paths if path.is_dir() or not (folders and path.is_file())]


def _evaluate_published(source: str, choices: list[str], split: str, *, trust: bool) -> None:
    bridge, config = published_config(source, choices, trust=trust)
    from bridgelab.device import local_device
    from bridgelab.evaluation.published_bridge import evaluate_published
    from bridgelab.progress import TenthsLog

    out = evaluate_published(config, local_device(), bridge=bridge, split=split, progress=TenthsLog(bridge))
    _keep(out, choices)
    print(out, flush=True)


def _keep(out: Path, choices: list[str]) -> None:
    """Write the overrides of an evaluation to its folder, for the command in its report; leave those that are there."""
    if not (out / OVERRIDES).exists():
        keep_overrides(out, choices)


def _is_choice(argument: str) -> bool:
    """Return whether an argument is `key=value` and not a run's folder, whose name has a `=` too. Only groups' keys have a `/`."""
    key, equals, _ = argument.partition("=")
    return bool(equals) and not Path(argument).is_dir() and ("/" not in key or key.startswith("hydra/"))
