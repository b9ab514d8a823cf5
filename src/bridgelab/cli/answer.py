"""`bridgelab answer`: ask a trained or published bridge about images."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bridgelab.cli.arguments import Parser, UsageError, add_trust, file, folder, run_folder
from bridgelab.cli.published import published_config

if TYPE_CHECKING:
    from bridgelab.evaluation.trained_bridge import TrainedBridge


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab answer",
        usage="bridgelab answer [options] RUN IMAGE... QUESTION\n"
        "       bridgelab answer [options] --bridge SOURCE [key=value ...] IMAGE... QUESTION\n"
        "       bridgelab answer [options] RUN --questions FILE.jsonl",
        description="Ask a trained bridge about an image, or answer the questions of a file.",
        epilog='Example: bridgelab answer runs/first_look/bridge=linear,seed=0 image.png "what color is the cube ?"',
    )
    parser.add_argument(
        "named", nargs="*", metavar="RUN IMAGE... QUESTION",
        help="the folder of a finished run, in runs/<study>/; an image file, or two if the run's benchmark asks about two; the "
        "question, in quotes",
    )  # fmt: skip
    parser.add_argument(
        "--bridge", metavar="SOURCE",
        help="instead of a run, a published bridge: a file that 'bridgelab convert --from' wrote, with vision= and text= beside it, "
        "hf://ORG/NAME, or 'warm', a trained bridge of the package",
    )  # fmt: skip
    parser.add_argument(
        "--explain", type=Path, metavar="PNG", help="save a picture of the patches that the answer depends on"
    )
    parser.add_argument(
        "--questions",
        type=Path,
        metavar="FILE.jsonl",
        help='a file with one question per line, {"image": "a.png", "question": "..."}; image paths are relative to the file. '
        "Prints each line with its answer and the answer's probability, as JSONL",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="questions of the file answered at once (64)"
    )
    add_trust(parser)
    options = parser.parse_intermixed_args(args)
    named, choices = list(options.named), []
    if options.bridge:
        choices = [one for one in named if re.match(r"[+~]*[a-z][\w.]*=", one) and not Path(one).exists()]
        named = [one for one in named if one not in choices]
    before = ["an image"] if options.bridge else ["a run", "an image"]
    if (named or options.bridge) and not options.questions and len(named) <= len(before):
        raise UsageError(
            f"{' '.join(options.named) or 'no question'}: {' and '.join(before)} must come before the question. Add what is missing."
        )
    run = None if options.bridge else run_folder(Path(named.pop(0))) if named else None
    if run is None and not options.bridge:
        raise UsageError('a run is needed. Give: RUN IMAGE "QUESTION", or RUN --questions FILE.jsonl')
    if options.questions:
        _check_questions(options.questions, options.batch_size, alone=not named and not options.explain)
        from bridgelab.explain.answer import answer_file

        bridge = _published(options.bridge, choices, trust=options.trust) if run is None else run
        answer_file(bridge, options.questions, batch_size=options.batch_size, trust=options.trust)
        return
    *images, question = named
    paths = [file(Path(image), "image") for image in images]
    if options.explain:
        folder(options.explain.parent)
    from bridgelab.explain.answer import answer

    bridge = _published(options.bridge, choices, trust=options.trust) if run is None else run
    answer(bridge, paths, question, options.explain, trust=options.trust)


def _check_questions(path: Path, batch_size: int, *, alone: bool) -> None:
    """Check a file of questions before anything heavy is imported."""
    if not alone:
        raise UsageError("--questions takes the images and questions from its file. Leave the others out.")
    if batch_size < 1:
        raise UsageError(f"--batch-size {batch_size} is not positive. Give at least 1.")
    from bridgelab.evaluation.question_file import read_questions

    read_questions(file(path, "file of questions"))


def _published(source: str, choices: list[str], *, trust: bool) -> "TrainedBridge":
    """Return a published bridge between the models that the overrides name."""
    from bridgelab.evaluation.trained_bridge import TrainedBridge

    _, config = published_config(source, choices, asks=True, trust=trust)
    from bridgelab.device import local_device
    from bridgelab.evaluation.published_bridge import load_published

    return TrainedBridge(config, *load_published(config, local_device()))
