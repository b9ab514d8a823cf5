"""`bridgelab benchmarks`: list the benchmarks, or describe some."""

from bridgelab.cli.arguments import Parser, choose


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab benchmarks",
        description="List the benchmarks as a Markdown table, or describe those that are named: where their data are, in which layout, "
        "and what their metric is.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark, as gqa")
    parser.add_argument(
        "--all", action="store_true", help="describe all of them, without what the table says"
    )
    given = parser.parse_args(args)
    from bridgelab.config.benchmark_page import described, sections, table

    known = [one.name for one in described()]
    for name in given.names:
        choose("benchmark", name, known)
    names = known if given.all else given.names
    print(sections(names, below_table=given.all) if names else table())
