"""`bridgelab report`: print a study's answer, and write its tables, figures and page."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, UsageError, add_allow, add_json, folder, print_json


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab report",
        description="Print a study's answer, and write its tables, its figures and a page, index.html, into its folder.",
    )
    parser.add_argument(
        "study", type=Path, metavar="STUDY_DIR", help="the study's folder, such as runs/first_look"
    )
    parser.add_argument(
        "--format", choices=("csv", "latex"), help="print the tables in this format, and write no file"
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="also write the cells of the tables and all answers into the folder, as CSV and Parquet",
    )
    parser.add_argument(
        "--figures",
        choices=("svg", "pdf", "png"),
        help="also write every figure of the page in this format, into the folder's figures/",
    )
    parser.add_argument(
        "--all", action="store_true", help="print all tables and notes too, not the answer alone"
    )
    add_allow(parser)
    add_json(parser, "every accuracy and difference with its interval and outcome")
    options = parser.parse_args(args)
    study = folder(options.study)
    from bridgelab.report.write import numbers, print_as, report

    if options.json and options.format:
        raise UsageError("--json and --format exclude each other. Give one.")
    if options.json:
        print_json(numbers(study, allow=options.allow))
    elif options.format:
        print_as(study, options.format, allow=options.allow)
    else:
        report(
            study,
            allow=options.allow,
            data=options.data,
            figures=options.figures,
            everything=options.all,
        )
