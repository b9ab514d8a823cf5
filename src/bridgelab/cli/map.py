"""`bridgelab map`: show at which levels and on which questions the linear bridge breaks."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, add_allow, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab map",
        description="Show the break map: the difference and its outcome for each level that the studies vary and each kind of question. "
        "The tests over all cells are corrected together. A bridge trained for another number of steps than the first study's "
        "baseline gives an empty row.",
    )
    parser.add_argument(
        "studies",
        type=Path,
        nargs="+",
        metavar="STUDY_DIR",
        help="finished studies; the first has the levels that the others depart from",
    )
    parser.add_argument(
        "--out", type=Path, metavar="PNG", help="the figure to write (map.png in the first study)"
    )
    parser.add_argument("--all", action="store_true", help="print the interval of each cell too")
    add_allow(parser)
    options = parser.parse_args(args)
    studies = [folder(study) for study in options.studies]
    out = options.out or studies[0] / "map.png"
    from bridgelab.report.write import report_map

    report_map(studies, out, everything=options.all, allow=options.allow)
