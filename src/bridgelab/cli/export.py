"""`bridgelab export`: write recorded answers in the formats of other evaluation tools."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, folder
from bridgelab.export import FORMATS
from bridgelab.printable import printable


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab export",
        description="Write the answers of a finished run, or of all runs of a study, in the format of another evaluation tool. Seeds "
        "stay apart.",
        epilog="Example: bridgelab export runs/first_look --format lmms-eval",
    )
    parser.add_argument(
        "source", type=Path, metavar="RUN_OR_STUDY", help="the folder of a finished run or of a study"
    )
    parser.add_argument(
        "--format", choices=FORMATS, required=True,
        help="lmms-eval: samples as JSONL, a file for each run and kind of example; inspect: an Inspect log for each of them; rliable: "
        "one JSON of scores, bridge by bridge, runs × kinds of questions; csv: one table of all answers",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the folder for the files (RUN_OR_STUDY/export/FORMAT)"
    )
    options = parser.parse_args(args)
    source = folder(options.source)
    from bridgelab.export.write import export

    for path in export(source, options.format, options.out):
        print(printable(str(path)))  # it names the run and its benchmark
