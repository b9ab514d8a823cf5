"""`bridgelab diagnose`: measure what answers depend on and what visual tokens hold."""

import logging
import sys
from pathlib import Path

from bridgelab.cli.arguments import Parser, add_trust, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab diagnose",
        description="Measure what a bridge's answers depend on and what its tokens hold. Occlusion: how much the likelihood of the "
        "right answer falls when patches of the objects in question, of other objects, of the background, or random ones are "
        "replaced. Tokens: what linear probes predict of the objects, effective rank and nearest words. Attention is "
        "shown as a description only.",
        epilog="Occlusion by object needs scenes, which benchmark=world and clevr have. Writes diagnosis.json into each run's folder "
        "and diagnosis.png into the study's; bridgelab report shows both.",
    )
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="RUN | STUDY_DIR",
        help="folders of finished runs, or studies with all their runs",
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=400,
        metavar="N",
        help="number of test questions for occlusion, clutter, and being told another question (400)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=400,
        metavar="N",
        help="number of test images for probes and nearest words (400)",
    )
    parser.add_argument(
        "--fit",
        type=int,
        default=1500,
        metavar="N",
        help="number of training images that the probes are fitted on (1500)",
    )
    parser.add_argument("--again", action="store_true", help="repeat diagnoses that exist already")
    add_trust(parser)
    options = parser.parse_args(args)
    for path in options.paths:
        folder(path)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    import bridgelab.training.main  # noqa: F401  registers what configs call
    from bridgelab.explain.diagnose import diagnose
    from bridgelab.explain.run_diagnosis import Amounts

    diagnose(
        options.paths,
        Amounts(options.questions, options.images, options.fit),
        again=options.again,
        trust=options.trust,
    )
